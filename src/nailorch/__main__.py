"""`python -m nailorch` is `nailorch`."""

from nailorch.cli import main

if __name__ == '__main__':
    raise SystemExit(main())

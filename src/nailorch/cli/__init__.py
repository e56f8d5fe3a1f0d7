"""The command line: `nailorch COMMAND`, one file a command; parser.COMMANDS has their names.

Exit codes: 0 all went well, 1 it was understood but failed, 2 it was not understood, 130 interrupted. What goes
wrong is said in one line; `--debug` shows the traceback as well. A command's module is imported when it is asked for.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module

from nailorch.cli.parser import UsageError, parse
from nailorch.cli.texts import text
from nailorch.config import Config
from nailorch.messages import whole

__all__ = ['main']

FAILED, MISUSED, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (default: the program's own) ask for, and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for name in ('stdout', 'stderr'):
        if getattr(sys, name) is None:  # closed by the caller, as in `>&-`, or not there, as under pythonw
            setattr(sys, name, open(os.devnull, 'w'))  # noqa: SIM115 (as open as the other streams)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='replace')  # a terminal that knows no Chinese shows ?, and no traceback
    before = Config.lang, Config.quiet
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images on several lines; nailorch refuses them in one.
            warnings.filterwarnings('ignore', message=r'Image size \(\d+ pixels\) exceeds')
            return run(arguments)
    finally:
        Config.lang, Config.quiet = before


def run(arguments: list[str]) -> int:
    """Parse, choose the language, run the command; turn every exception into one line and a code."""
    debug = '--debug' in arguments
    try:
        options = parse(arguments)
        if options is None:  # help or the version was asked for, and printed
            return 0
        Config.quiet = Config.quiet or options.quiet or options.json
        command = import_module(f'nailorch.cli.{options.command}')
        code: int = command.run(options)
        sys.stdout.flush()
        return code
    except UsageError as error:
        return give_up(str(error), MISUSED, debug)
    except KeyboardInterrupt as error:  # training says more: what it saved, and which signal came
        said = one_line(error) if str(error) else text('interrupted')
        return give_up(said, getattr(error, 'exit_code', INTERRUPTED), debug)
    except BrokenPipeError:  # the reader has gone, as in `nailorch runs | head`; nothing is left to be said
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ValueError, OSError, ImportError, ArithmeticError, LookupError) as error:
        return give_up(one_line(error), FAILED, debug)
    except MemoryError:
        return give_up(text('memory'), FAILED, debug)
    except Exception as error:
        return give_up(text('unexpected', kind=type(error).__name__, error=one_line(error)), FAILED, debug)


def one_line(error: BaseException) -> str:
    """Return what an exception says, on one line; one that says nothing gives its name."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else whole(error)
    if isinstance(error, OSError) and error.strerror and error.filename:
        said = f'{error.filename}: {error.strerror}'
    return ' '.join(str(said).split()) or type(error).__name__


def give_up(said: str, code: int, debug: bool) -> int:
    """Say on standard error what went wrong, after the traceback where that is wanted, and return `code`."""
    if debug:
        traceback.print_exc()
    print(f'nailorch: {said}', file=sys.stderr)
    return code

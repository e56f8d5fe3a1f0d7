# A convenience over `python -m nailorch demo` and `pytest`: each command sets up .venv by itself (scripts/venv).
.PHONY: help install demo test check clean

help:
	@echo 'make install set up .venv: .venv/bin/nailorch is the program'
	@echo 'make demo    train a small network and show its report'
	@echo 'make test    run the tests'
	@echo 'make check   everything that CI checks: ruff, mypy, import-linter, tests on both engines'
	@echo 'make clean   remove .venv and caches'

install:
	@sh scripts/venv report
	@echo 'Ready: . .venv/bin/activate, then nailorch --help'

demo:
	@sh scripts/venv report
	@.venv/bin/python -m nailorch demo $(ARGS)

test:
	@sh scripts/venv report,test
	@.venv/bin/python -m pytest $(ARGS)

check:
	@sh scripts/check

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

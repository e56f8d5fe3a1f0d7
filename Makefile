# A convenience over `python -m nailorch demo` and `pytest`: each command sets up .venv by itself (scripts/venv).
.PHONY: help demo test check clean

help:
	@echo 'make demo    train a small network and show its report'
	@echo 'make test    run the tests'
	@echo 'make check   everything that CI checks: ruff, mypy, import-linter, tests on both engines'
	@echo 'make clean   remove .venv and caches'

# One BLAS thread: its products are small (2,200 images/s with one or two threads on an idle machine of two cores), and
# on a busy one two threads wait for each other (116 images/s instead of 1,340).
demo:
	@sh scripts/venv report
	@OPENBLAS_NUM_THREADS=$${OPENBLAS_NUM_THREADS:-1} .venv/bin/python -m nailorch demo $(ARGS)

test:
	@sh scripts/venv report,test
	@.venv/bin/python -m pytest $(ARGS)

check:
	@sh scripts/check

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

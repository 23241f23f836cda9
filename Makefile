# `make lab` and `make test` do all the set-up on a fresh Debian machine with Python 3.11 or newer.
# Programs are called as `.venv/bin/python -m …`: the scripts beside it break where the path has a space.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup lab test soak docs lint bench clean mutants

PYTHON ?=
LAB_ARGS ?=
PYTEST_ARGS ?=
PY := .venv/bin/python

# What `setup` prepares: `lab` needs no browser and no test tools.
GROUP := dev
lab: GROUP := lab

help:  ## show this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1@\2/p' Makefile | sed 's/@/              /; s/^\(.\{18\}\) */\1/'
	@echo
	@echo "  PYTHON=python3.12      the Python that .venv is made with    (default: the newest from 3.11 on)"
	@echo "  LAB_ARGS=--no-browser  more options for JupyterLab           PYTEST_ARGS='-k login'  more options for pytest"

setup:  ## make .venv and install what is missing (system packages through apt)
	@PYTHON="$(PYTHON)" sh tools/setup.sh $(GROUP)

lab: setup  ## open JupyterLab at the first notebook
	@echo "JupyterLab opens in your browser, or at the address below. Ctrl-C here ends it."
	@$(PY) tools/lab.py $(LAB_ARGS)

# Many tests wait for a browser, a kernel or a server: three workers keep two cores busy (tests/schedule.py).
test: lint  ## run the linters, then every test (JupyterLab and Chromium included)
	@$(PY) -m pytest --numprocesses 3 --dist loadfile $(PYTEST_ARGS)

soak: setup  ## run the tests that take long
	@$(PY) -m pytest -m soak $(PYTEST_ARGS)

docs: setup  ## run the tests that write docs/conformance.md and the tables of docs/api.md; fails unless all passed
	@$(PY) -m pytest --numprocesses 2 --dist loadfile -m "case and not soak" --conformance=docs/conformance.md $(PYTEST_ARGS)
	@! grep -E "\| (FAILED|not run) \|" docs/conformance.md
	@$(PY) -m pytest tests/api/test_every_endpoint.py --api-page=docs/api.md

lint: setup  ## check style, types and the direction of imports
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

mutants: setup  ## remove one check at a time and print the test that notices
	@$(PY) tools/mutants.py

bench: setup  ## measure, side by side with the peers
	@for program in benchmarks/*.py; do $(PY) "$$program" || exit 1; done

clean:  ## remove everything that was made here, .venv included
	rm -rf .venv build dist artifacts tests/certified/node_modules .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

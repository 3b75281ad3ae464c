# `make demo` and `make test` need nothing but Python 3.11 or newer and make: they build .venv themselves, once.
# Another interpreter: PYTHON=python3.12 make test (.venv is made anew with it).

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test faults fuzz bench check figures lint format requirements clean

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq
UV ?= uv
PYTEST_ARGS ?=
BENCH_ARGS ?= all --write
DEMO_ARGS ?=
FAULTS_ARGS ?= --write docs/faults.md

ifdef PYTHON
MADE := $(VENV)/.made-with-$(subst /,_,$(PYTHON))
else
MADE := $(VENV)/pyvenv.cfg
PYTHON = $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
endif

help:  ## show this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: $(VENV)/.runtime  ## close sample groups against a simulated API; DEMO_ARGS="--groups 500"
	@$(BIN)/closer demo $(DEMO_ARGS)

# The tests start hundreds of processes. Without its bytecode each would compile closer anew.
test: $(VENV)/.dev  ## run the tests but those that take long; TESTS_ALL=1: all; PYTEST_ARGS="-k ledger"
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -q -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

faults: $(VENV)/.dev  ## kill, freeze and starve everything, into docs/faults.md; FAULTS_ARGS="--only store"
	@$(BIN)/python -m tests.faults $(FAULTS_ARGS)

fuzz: $(VENV)/.dev  ## 100,000 events and as many replies through the parsers
	@HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest -v -n auto --dist worksteal -o timeout=3600 tests/fuzz $(PYTEST_ARGS)
	@echo "The fuzz tests ended well: no input was found that breaks a parser."

bench: $(VENV)/.dev  ## measure, beside other task queues, into bench/results.md; BENCH_ARGS="throughput --groups 2000"
	@$(BIN)/python -m bench $(BENCH_ARGS)

check: lint $(VENV)/.dev  ## lint, types and import directions; luacheck must be installed
	$(BIN)/python .ci/lint_lua.py
	$(BIN)/python .ci/figures.py
	$(BIN)/mypy
	$(BIN)/lint-imports

figures: $(VENV)/.dev  ## how long functions and files are, and other figures of the code
	@$(BIN)/python .ci/figures.py

lint: $(VENV)/.dev  ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/.dev  ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

requirements:  ## pin the dependencies again (needs uv); UV_ARGS=--upgrade for newer ones
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header $(UV_ARGS) \
		--group build pyproject.toml -o requirements.txt
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header $(UV_ARGS) \
		--group dev -c requirements.txt pyproject.toml -o requirements-dev.txt

clean:  ## remove what make and the tools have made
	rm -rf $(VENV) .bench-venvs build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
	find tasks worker tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: PYTHON=/path/to/python make …" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# The stamps are touched last, so an interrupted installation is begun again. The development tools include what
# `make demo` needs, hence both stamps. The files pin every dependency of every line (tests/test_requirements.py), so
# nothing is left to resolve; pip 23 would otherwise look for `coverage[toml]` beyond its pin.
$(VENV)/.runtime: $(MADE) requirements.txt pyproject.toml
	@echo "Installing into $(VENV) …" >&2
	@$(PIP) --no-deps --require-hashes -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(MADE) requirements-dev.txt pyproject.toml
	@echo "Installing into $(VENV), with the development tools …" >&2
	@$(PIP) --no-deps --require-hashes -r requirements-dev.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $(VENV)/.runtime $@

# Two commands do all the set-up: `make demo` runs the daemon, `make test` tests it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCE ?= synthetic
FRAMES ?=
TESTS ?= tests

.PHONY: demo test check lint format types bench-control clean

demo: $(VENV)/.run
	$(BIN)/edged demo --source "$(SOURCE)" $(if $(FRAMES),--frames $(FRAMES))

test: $(VENV)/.develop
	$(BIN)/python -m pytest $(TESTS)

check: lint types test

lint: $(VENV)/.develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.develop
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.develop
	$(BIN)/mypy

# The controller against its alternatives: tests/benchmarks/control.md and control.png.
bench-control: $(VENV)/.develop
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/benchmarks/control.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make a virtual environment; install it with: sudo apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.develop: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

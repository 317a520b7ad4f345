# Two commands do everything, set-up included: `make quickstart` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
ENGINE ?= local
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help install quickstart test check lint types imports slow clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt setup.py curate/images/_area.c
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else f"curate needs Python 3.11 or 3.12, this is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time)"
	@# torch first and pinned: its CPU build serves here, a range would fetch gigabytes of CUDA
	@$(BIN)/python -m pip install --quiet -c constraints.txt torch
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

install: $(STAMP)  ## create .venv with everything in it

quickstart: $(STAMP)  ## the whole loop on 256 real pictures: ENGINE=local (default) or ray
	@$(BIN)/curate run pipelines/quickstart.yaml --engine $(ENGINE)

test: $(STAMP) check  ## lint, types, import contracts and every test but the slow ones

check: lint types imports  ## everything that must be green before a commit
	@$(BIN)/python -m pytest -m "not slow"

lint: $(STAMP)  ## ruff: format and lint
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(STAMP)  ## mypy strict
	@$(BIN)/mypy

imports: $(STAMP)  ## the floors of docs/architecture.md
	@$(BIN)/lint-imports

slow: $(STAMP)  ## the tests that take minutes each
	@$(BIN)/python -m pytest -m slow

clean:  ## remove runs and caches, keep .venv
	rm -rf runs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# What a newcomer types. `make help` lists it.

HONE_HOME ?= ./var
PORT ?= 8000
ARGS ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run demo test test-slow check format bench gpu-check lock

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1 \t/p' Makefile | expand -t 14

setup: ## install what Hone needs to run (.venv, static/vendor); does nothing when all is there
	@tools/setup.sh

setup-dev: ## the same, and what tests and guards need
	@tools/setup.sh --dev

run: setup ## set up, then start Hone: make run PORT=8000 HONE_HOME=./var
	@exec $(BIN)/hone up --home "$(HONE_HOME)" --port "$(PORT)"

demo: setup ## set up, start, train on the sample e-mails, show what came of it: make demo PORT=8000 HONE_HOME=./var
	@exec $(BIN)/python -m tools.demo --home "$(HONE_HOME)" --port "$(PORT)" $(ARGS)

test: setup-dev ## every test but the slow ones and those that need a GPU, three side by side, since many wait; one after another: make test ARGS="-n 0"
	@$(BIN)/python -m pytest -q -n 3 --dist worksteal $(ARGS)

test-slow: setup-dev ## the tests that take minutes
	@$(BIN)/python -m pytest -q -m slow --timeout=3600 $(ARGS)

check: setup-dev ## format, lint, types, direction of imports; under a minute
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: setup-dev ## put the code in form and fix what ruff can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup-dev ## measure, and write the figures to bench/results
	@$(BIN)/python -m bench $(ARGS)

gpu-check: $(if $(PYTHON),,setup-dev) ## the tests that need a GPU; with a Python of one's own: make gpu-check PYTHON=python3
	@$(or $(PYTHON),$(BIN)/python) -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "gpu-check: torch finds no GPU here; run it on a machine with one")'
	@$(or $(PYTHON),$(BIN)/python) -m pytest -q -m gpu --timeout=1800 $(ARGS)

lock: setup-dev ## rewrite requirements/ from pyproject.toml: make lock ARGS=--upgrade
	@tools/lock.sh $(ARGS)

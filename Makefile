# Needs Python 3.11 or later and make; everything else is installed into .venv.
# Another interpreter: make PYTHON=python3.13 …
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test lint format format-check types check simulate mutants clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  %-14s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A setting in ARGS goes before one in the environment.
run: $(VENV)/.installed ## Start workq-server on 127.0.0.1:9922, jobs in data/; settings with ARGS="…"
	WORKQ_SERVER_CMDLOG_PATH=$${WORKQ_SERVER_CMDLOG_PATH-data} $(BIN)/workq-server $(ARGS)

# On all cores, each file on one of them: what tests of a file share is made once.
test: $(VENV)/.test ## Run all tests; some with ARGS="-k text"; one after the other with ARGS="-n 0"
	$(BIN)/python -m pytest -n auto --dist=loadfile $(ARGS)

lint: $(VENV)/.lint ## Look for mistakes and for breaches of style
	$(BIN)/ruff check

format: $(VENV)/.lint ## Put all code into the one layout, and imports in order
	$(BIN)/ruff check --select I --fix
	$(BIN)/ruff format

format-check: $(VENV)/.lint ## Say which files `make format` would change
	$(BIN)/ruff format --check

types: $(VENV)/.lint $(VENV)/.test ## Check the types
	$(BIN)/mypy

check: lint format-check types test ## All of the above that CI runs: do this before you hand in

simulate: $(VENV)/.test ## Simulate worst days: SEED=first, SEEDS=how many, HOURS=at the most, FAULTS=of one seed
	$(BIN)/python -m tests.simulation --seed $(or $(SEED),0) --seeds $(or $(SEEDS),0) \
	  --hours $(or $(HOURS),0) --faults "$(FAULTS)" $(ARGS)

mutants: $(VENV)/.test ## Search anew for a seed that finds each deliberate defect; some: ARGS=name
	$(BIN)/python -m tests.simulation.mutants --search $(ARGS)

clean: ## Remove .venv and everything else that was made here
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A folder may bring targets of its own, with their ## lines: bench/targets.mk, for example.
include $(wildcard */targets.mk)

# What is installed is remembered by stamps; a newer pyproject.toml makes them stale.
# The venv gets a pip that knows dependency groups, whatever pip the interpreter came with.
$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "workq needs Python 3.11 or later; '$(PYTHON)' is `$(PYTHON) --version 2>&1`." >&2; \
	  echo "If there is a newer one, name it: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "installing into $(VENV), once; this takes a while …"
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install pip==26.3
	@touch $@

# In two steps: the first brings a copy of the client, the second puts the clone's own in its place.
$(VENV)/.installed: $(VENV)/.venv pyproject.toml clients/python/pyproject.toml
	$(PIP) install --editable .
	$(PIP) install --editable clients/python
	@touch $@

$(VENV)/.test: $(VENV)/.installed
	$(PIP) install --group test
	@touch $@

$(VENV)/.lint: $(VENV)/.venv pyproject.toml
	$(PIP) install --group lint
	@touch $@

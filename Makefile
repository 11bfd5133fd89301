# NexFit. `make run` and `make test` need only Python 3.11 and make; everything else they install into .venv.

PYTHON ?= python3
PORT ?= 8000
DATA_DIR ?= .data
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
GENERATOR := $(VENV)/generator
APPS := examples/week/client_api/client.py examples/week/coach_api/client.py

.PHONY: help run test check bench web apps schema lock clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED) web ## Start local servers, load demo data and serve GraphQL (PORT=8000, DATA_DIR=.data)
	@$(BIN)/nexfit dev --port $(PORT) --data-dir $(DATA_DIR)

test: check ## Run every check and test, on real servers (WORKERS=2 at a time)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: $(INSTALLED) apps ## Lint, format, types, layers, schema.graphql
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd examples/week && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml *.py
	$(BIN)/lint-imports
	$(BIN)/nexfit schema --check
	$(BIN)/python -m pytest -q tests/contract

bench: $(INSTALLED) ## Measure against the floor, in one run (ARGS="--help" for more)
	$(BIN)/python -m bench $(ARGS)

web: $(INSTALLED) ## Build GraphiQL into the package, where Node is at hand
	@$(BIN)/python -m nexfit.operations.web_build

apps: $(APPS) ## Generate the typed clients of examples/week from schema.graphql

# Its GraphQL library is an older one than the API's, so the generator has an environment of its own.
$(GENERATOR)/.installed: examples/week/generator.lock | $(INSTALLED)
	@$(PYTHON) -m venv $(GENERATOR)
	@$(GENERATOR)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

examples/week/%_api/client.py: schema.graphql examples/week/%.graphql examples/week/%.toml $(GENERATOR)/.installed
	@rm -rf $(@D) && cd examples/week && $(CURDIR)/$(GENERATOR)/bin/ariadne-codegen --config $*.toml > /dev/null
	@touch $@

schema: $(INSTALLED) ## Write schema.graphql and MongoDB's validators from the code
	$(BIN)/nexfit schema

lock: $(INSTALLED) ## Resolve requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate --quiet --upgrade --extra servers --extra dev pyproject.toml -o requirements.lock

clean: ## Remove the virtual environment and caches; the data stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	  || { echo "NexFit needs Python 3.11, 3.12 or 3.13; name one with make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || { echo "Making the virtual environment"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing from requirements.lock (about a minute and a half the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(INSTALLED)

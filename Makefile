# Everything runs in .venv; nothing is installed elsewhere.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo test test-contract test-real chaos bench check format clean requirements rule-pages

help: ## print this
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: requirements-dev.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

install: $(VENV)/.installed ## the .venv with .venv/bin/backout in it
	@echo "installed: $(BIN)/backout"

DELIVERY := argocd
demo: $(VENV)/.installed ## play the story on this machine, against the sandbox; DELIVERY=spinnaker plays it on a Spinnaker
	@$(BIN)/backout demo --delivery $(DELIVERY)

test: $(VENV)/.installed ## everything that needs nothing but Python (and PostgreSQL, or those tests are skipped)
	@$(BIN)/python -m pytest

test-contract: $(VENV)/.installed ## the contract suites: against the sandbox, and against the real servers where they run
	@$(BIN)/python -m pytest tests/contract

test-real: $(VENV)/.installed ## the stories on real servers, in two labs; builds what is missing into a cache outside the tree
	@$(BIN)/python -m tests.real $(ARGS)

chaos: $(VENV)/.installed ## a thousand schedules of crashes and faults, two hundred on PostgreSQL, three hundred of Spinnaker, a kill at every place; ARGS='--seed 5000' for others
	@$(BIN)/python -m tests.chaos --schedules 1000 $(ARGS)
	@$(BIN)/python -m tests.chaos --store postgresql --schedules 200 $(ARGS)
	@$(BIN)/python -m tests.chaos --places 1
	@$(BIN)/python -m tests.chaos --delivery spinnaker --schedules 300 $(ARGS)
	@$(BIN)/python -m tests.chaos --delivery spinnaker --places 1
	@$(BIN)/python -m tests.chaos --delivery spinnaker --machines --places 4

bench: $(VENV)/.installed ## how fast it is, as ratios, about a quarter of an hour on a quiet machine; ARGS='--only intake' runs one, '--write docs/benchmarks.md' keeps the table
	@$(BIN)/python -m tests.bench $(ARGS)

check: $(VENV)/.installed ## lint, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(VENV)/.installed ## let ruff put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

PIN := uv pip compile --quiet --generate-hashes --universal --no-emit-index-url --no-header --no-annotate

rule-pages: $(VENV)/.installed ## write docs/rules anew from the rules and their examples
	@$(BIN)/python -m tests.rule_pages

requirements: ## pin again, with hashes and without index addresses (needs uv on PATH; ARGS=--upgrade takes newer versions)
	@$(PIN) $(ARGS) --output-file requirements.txt pyproject.toml
	@$(PIN) $(ARGS) --extra dev --output-file requirements-dev.txt pyproject.toml

clean: ## remove .venv and caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist *.egg-info

# `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
# The environment's own pip, or the system's where Python came without ensurepip.
PIP     = $$($(BIN)/python -c 'import pip' 2>/dev/null && echo "$(BIN)/python -m pip" || echo "$(PYTHON) -m pip --python $(BIN)/python")

.PHONY: help setup up test lint typecheck prove bench docs generate lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

$(VENV)/.ready: requirements.lock pyproject.toml
	@echo "setting up $(VENV) (once)…"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Grace needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip $(VENV)
	@$(PIP) install --quiet --disable-pip-version-check -r requirements.lock
	@$(PIP) install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

setup: $(VENV)/.ready ## make the virtual environment

up: setup ## run the whole loop with the demo workload; Ctrl-C stops all of it
	@exec $(BIN)/grace up $(ARGS)

# Acceptance tells its story alone: it measures what the whole machine does. The others wait much, so two at a time.
test: setup lint ## every test: unit, golden, property, integration, acceptance
	$(BIN)/python -m pytest -m acceptance $(ARGS)
	$(BIN)/python -m pytest -m "not prove and not acceptance" -n 2 --dist loadfile $(ARGS)

lint: setup ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

prove: setup ## the slow proofs: every playbook from an alert, every drill, crash matrix, soak
	$(BIN)/python -m pytest -m prove $(ARGS)

bench: setup ## print the speed figures
	$(BIN)/python -m bench $(ARGS)

generate: setup ## write every generated file again
	$(BIN)/grace catalog schema --write
	$(BIN)/grace catalog reference --out docs/reference
	$(BIN)/grace rules build --out rules/generated
	$(BIN)/grace grafana build --out grafana
	$(BIN)/python -m remediator.governance.reference
	$(BIN)/python -m remediator.pipeline.reference
	$(BIN)/python -m remediator.api.reference
	$(BIN)/python -m grace.reference
	$(BIN)/python -m stack.reference
	$(BIN)/python -m stack.picture

lock: ## resolve requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-header --upgrade -q -o requirements.lock

clean: ## remove the virtual environment and the caches, never .grace
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

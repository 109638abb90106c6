# Everything a developer runs. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
LOCAL_STACK := PYTHONPATH=hack $(PYTHON) -m local_stack
STACK_ENV := .local/stack.env

.PHONY: help
help: ## Show the targets.
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 28

$(STAMP): requirements/dev.txt pyproject.toml
	@echo "installing the Python tools into $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/dev.txt
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

.PHONY: venv
venv: $(STAMP) ## Install the Python tools into .venv.

.PHONY: up
up: ## Bring up the local stack (or install into the cluster of KUBECONFIG/CONTEXT).
	@$(LOCAL_STACK) up

.PHONY: down
down: ## Remove everything that `make up` made.
	@$(LOCAL_STACK) down

.PHONY: status
status: ## Tell what of the local stack runs.
	@$(LOCAL_STACK) status

.PHONY: demo
demo: $(STAMP) up ## Publish, order, run and download a job on real data over the provider.
	@$(VENV)/bin/python examples/demo.py

.PHONY: results
results: $(STAMP) ## Fetch the results of a job: make results JOB=name [INTO=folder].
	@$(VENV)/bin/python hack/results.py $(JOB) $(if $(INTO),--into $(INTO))

.PHONY: bench
bench: $(STAMP) up ## Measure the figures of docs/explanation/figures.md [ROWS=...] [WRITE=1].
	@PYTHONPATH=hack:tests $(VENV)/bin/python -m bench $(ROWS) $(if $(WRITE),--write)

.PHONY: network-conformance
network-conformance: $(STAMP) up ## Run upstream's specs of NetworkPolicy on the local stack.
	@PYTHONPATH=hack $(VENV)/bin/python -m network_conformance $(if $(FOCUS),--focus '$(FOCUS)')

.PHONY: check
check: $(STAMP) ## Lint, types, import rules and unit tests, in a minute or two.
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@$(VENV)/bin/pytest --quiet --ignore=tests/integration --ignore=tests/end_to_end

.PHONY: test
test: check up ## Run everything: unit, integration, and end to end on the cluster.
	@$(VENV)/bin/pytest --quiet --durations=5 tests/integration tests/end_to_end

# Two commands are enough: `make demo` and `make test`. Each builds its environment first.
# PYTHON (3.11 or newer) makes the environment; VENV is where it lives. PORT, SIM_PORT, DATA_DIR and
# every FLEET_ variable reach the commands as they are: docs/guide/settings.md lists them.

PYTHON ?= python3
VENV ?= .venv
# One test process more than there are cores: many tests wait for processes they started.
JOBS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
PYTEST_ARGS ?=
BENCHES ?= heartbeat webhook pages plan latency idle
# `make check` ends with the tests. .ci/run, which has just run them, says CHECK_TESTS=no.
CHECK_TESTS ?= yes

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
RUNTIME := $(VENV)/.installed-runtime
DEVELOPMENT := $(VENV)/.installed-development
TEMPLATES = $(shell find templates runners -name '*.html' -not -path '*/node_modules/*')

.DEFAULT_GOAL := help
.PHONY: help setup run demo test check lint types deploy-check audit fmt vendor worker agent bench soak validate \
	lock clean

help: ## show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | sort | expand -t 10

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; say which with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Hashes are required, so what is installed is what was locked, wherever it was fetched from. The
# lock is whole, so nothing has to be resolved: older versions of pip stumble over extras there.
INSTALL := $(PIP) install --no-deps --require-hashes --requirement

$(RUNTIME): requirements.lock | $(BIN)/python
	@echo "Installing what the dashboard needs"
	$(INSTALL) requirements.lock
	@touch $@

$(DEVELOPMENT): requirements-dev.lock | $(BIN)/python
	@echo "Installing what the tests and checks need"
	$(INSTALL) requirements-dev.lock
	@touch $@ $(RUNTIME)

setup: $(DEVELOPMENT) ## build the environment for working on it

run: $(RUNTIME) ## run the dashboard against real GitHub
	@$(BIN)/python manage.py fleet_up

demo: $(RUNTIME) ## run a living fleet against a stand-in GitHub
	@$(BIN)/python manage.py demo

test: $(DEVELOPMENT) ## run all tests
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

check: lint types deploy-check audit ## every check, then the tests
ifeq ($(CHECK_TESTS),yes)
	$(MAKE) test
else
	@echo "make check: tests left out, CHECK_TESTS=$(CHECK_TESTS)"
endif

lint: $(DEVELOPMENT) ## style, import rules, templates
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/djade --target-version 5.2 --check $(TEMPLATES)
	$(BIN)/python -m pytest -q -n0 -p no:randomly tests/architecture

types: $(DEVELOPMENT) ## mypy --strict
	$(BIN)/mypy --strict .

deploy-check: $(DEVELOPMENT) ## Django's own checks as in production, missing migrations
	$(BIN)/python .ci/deploy_check.py

audit: $(DEVELOPMENT) ## known vulnerabilities in what is locked
	$(BIN)/python .ci/audit.py requirements.lock

fmt: $(DEVELOPMENT) ## bring everything into the house style
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .
	$(BIN)/djade --target-version 5.2 $(TEMPLATES)

vendor: $(DEVELOPMENT) ## copy third-party assets from pinned npm packages
	$(BIN)/python .ci/vendor.py

worker: $(RUNTIME) ## run background tasks alone
	@$(BIN)/python manage.py fleet_worker

agent: $(RUNTIME) ## run a host agent from the source tree: make agent ARGS="run ..."
	@PYTHONPATH=runners/agent $(BIN)/python -m fleet_agent $(ARGS)

bench: $(DEVELOPMENT) ## run every benchmark: make bench ARGS=--quick
	@for name in $(BENCHES); do \
		echo "== bench/$$name.py"; $(BIN)/python -m bench.$$name $(ARGS) || exit 1; done

soak: $(DEVELOPMENT) ## a week of a rough fleet in virtual time: make soak ARGS="--seed 7"
	$(BIN)/python -m tests.world $(ARGS)

validate: $(DEVELOPMENT) ## auto-scaling with real processes, and a verdict; about eight minutes
	$(BIN)/python -m tests.validation $(ARGS)

lock: $(DEVELOPMENT) ## resolve pyproject.toml into the two lock files anew
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --extra postgres \
		pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --extra postgres \
		--group dev pyproject.toml -o requirements-dev.lock

clean: ## remove the environment and what tools left; never data
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist artifacts

# Everything a newcomer needs: `make run` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# uv from PATH, or one of our own in .uv/ (made with the venv module of Python).
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --frozen --no-sync

.PHONY: help run demo report superset superset-export test test-compose test-operations check format bench docs release clean

help: ## Show this list
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

run: .venv/.synced ## Install what is needed and run the whole pipeline on the sample quotes
	@$(RUN) weekahead run

demo: run ## make run, a year of forecasts as made then, and the page that judges them (make superset: dashboards, a minute more)
	@$(RUN) weekahead predict --as-of 2012-03-01..2013-02-19
	@$(RUN) weekahead report
	@$(RUN) python -m webbrowser "file://$(CURDIR)/weekahead-report.html" >/dev/null || true
	@echo "The same in dashboards: make superset, then weekahead open dashboards (installs Superset once: a minute and 660 MB)"

report: .venv/.synced ## Write weekahead-report.html: forecasts, how good they are, data health
	@$(RUN) weekahead report

superset: .venv/.synced ## Start the local stack with Superset and its dashboards
	@$(RUN) weekahead up --with superset

superset-export: .venv/.synced ## Bring dashboards that were changed in Superset into the repository (ADD=slug: one more)
	@$(RUN) python -m deploy.local.superset export $(ADD)

test: .venv/.synced ## Install what is needed and run all tests (real services; about half an hour)
	@$(RUN) pytest

test-compose: .venv/.synced ## Build the images and test the whole stack in containers (needs Docker, 15 GB of disk)
	@$(RUN) pytest -n 0 tests/compose/test_containers.py tests/compose/test_pool.py -s --timeout=1800 --session-timeout=5400

test-operations: .venv/.synced ## Backup, restore, passwords, moving in and Hive, in containers (needs Docker)
	@$(RUN) pytest -n 0 tests/compose/test_operations.py tests/compose/test_hive.py --timeout=1800

check: .venv/.synced ## Formatting, lint, types, docstrings, SQL style, wording, documentation
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy
	@$(RUN) pytest -o addopts= -qq --import-mode=importlib tests/unit/test_docstrings.py
	@$(RUN) sqlfluff lint --processes 2 --disable-progress-bar dbt
	@$(RUN) python -m tools.phrases
	@$(MAKE) --no-print-directory docs

format: .venv/.synced ## Format the code and fix what the linters can
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .
	@$(RUN) sqlfluff fix --disable-progress-bar dbt

docs: .venv/.synced ## Build the documentation site in site/ (index.html)
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --quiet

release: .venv/.synced ## Build the distributions into dist/, check each in a bare environment, write checksums
	@nice -n 5 $(RUN) python -m tools.release

bench: .venv/.synced ## Measure stages, speed and memory (tests/benchmarks)
	@$(UV) run --frozen --group bench pytest -n 0 tests/benchmarks -s

clean: ## Remove the environment and caches; .weekahead/ (your data) stays
	rm -rf .venv .uv .mypy_cache .pytest_cache .ruff_cache dbt/target dbt/logs site dist

# The environment follows the lock file; a change of either rebuilds it.
.venv/.synced: uv.lock pyproject.toml | $(UV)
	@$(UV) python find '>=3.11,<3.13' >/dev/null 2>&1 || $(UV) python install --quiet 3.12 2>/dev/null || { echo \
	  "weekahead needs Python 3.11 or 3.12, and this machine has $$(python3 --version 2>&1). Install one beside it, for example 'apt-get install python3.12 python3.12-venv' or 'brew install python@3.12', and run make again." >&2; exit 1; }
	@mkdir -p .uv
	@echo "Installing about 2 GB of packages into .venv; the log is .uv/install.log" >&2
	@set -o pipefail; $(UV) sync --frozen --compile-bytecode 2>&1 | tee .uv/install.log | \
	  sed -un -E '/^ *(Download|Build|Built|Prepared|Installed|Bytecode)/{s/^ */  /;p}' >&2 || \
	  { tail -n 20 .uv/install.log >&2; exit 1; }
	@touch $@

.uv/bin/uv:
	@python3 -m venv .uv 2>/dev/null || { rm -rf .uv; echo \
	  "uv is missing, and Python cannot make an environment to install it: run 'apt-get install python3-venv' first." >&2; exit 1; }
	@.uv/bin/pip install --quiet --disable-pip-version-check uv

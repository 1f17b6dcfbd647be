# Every command of the project. Needs Python 3.11 or newer with venv, and make; nothing else.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
# Tests wait half of their time, for servers and processes: three at once keep two cores busy.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) '*' 3 / 2)
# requirements.txt is the product; requirements-local.txt is what runs it on one machine.
RUNTIME_PACKAGES := -r requirements.txt -r requirements-local.txt
# Stamp files: written when an installation is complete, so that the next `make` skips it.
RUNTIME := $(VENV)/.runtime-installed
DEVELOPMENT := $(VENV)/.development-installed
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --universal
# `make -s env` must print exports only, so progress goes to standard error.
SAY = @echo "==> $(1)" >&2

.PHONY: help setup lock env migrate check export demo up down test lint format docs bench clean
.PHONY: lint-sql lint-types lint-style lint-imports

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

setup: $(RUNTIME) $(DEVELOPMENT) ## Build .venv with everything that runs, tests and checks this project

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -n 1)." \
	    "Resolution: install it, or point to it: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(call SAY,Creating $(VENV).)
	@$(PYTHON) -m venv $(VENV) >&2 || { \
	  echo "Python cannot create $(VENV). Resolution: install its venv module (Debian: apt-get install python3-venv)." >&2; \
	  exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) >&2

$(RUNTIME): requirements.txt requirements-local.txt | $(BIN)/uv
	$(call SAY,Installing the runtime packages (a few hundred; this takes a minute or two if none is cached).)
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes $(RUNTIME_PACKAGES) >&2
	@touch $@

$(DEVELOPMENT): requirements-dev.txt $(RUNTIME)
	$(call SAY,Installing the packages for tests and checks.)
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes $(RUNTIME_PACKAGES) -r requirements-dev.txt >&2
	@touch $@

lock: | $(BIN)/uv ## Compile the pinned requirements from requirements*.in
	$(call SAY,Compiling requirements*.txt.)
	@$(COMPILE) requirements.in -o requirements.txt
	@$(COMPILE) requirements-local.in -o requirements-local.txt
	@$(COMPILE) requirements-dev.in -o requirements-dev.txt

# Starts the embedded database, if the caller has not set others: Airflow cannot, and has nothing that runs before it
# connects. Whoever sets both databases starts nothing.
env: $(RUNTIME) ## Print the shell exports under which .venv/bin/airflow works: eval "$(make -s env)"
	@$(BIN)/python -m local env

migrate: $(RUNTIME) ## Migrate the database behind orders_db to the current version
	@variables=$$($(BIN)/python -m local env) && eval "$$variables" && $(BIN)/python -m include.database migrate

check: $(RUNTIME) ## Check connections, rights, store views, currencies, keys, clocks, databases and pools
	@variables=$$($(BIN)/python -m local env) && eval "$$variables" && $(BIN)/python -m include check

export: $(RUNTIME) ## Write the reporting tables as Parquet files: make export FOLDER=/srv/orders TABLES="fct_orders"
	@variables=$$($(BIN)/python -m local env) && eval "$$variables" && \
	  $(BIN)/python -m include export $(if $(FOLDER),--folder "$(FOLDER)") $(if $(TABLES),--tables $(TABLES))

demo: $(RUNTIME) ## Run the whole path in real Airflow with a local Amazon and a local shop, once, and print the result
	@$(BIN)/python -m local demo

up: $(RUNTIME) ## The same, then keep Airflow running until Ctrl-C
	@$(BIN)/python -m local up

down: $(RUNTIME) ## Stop what demo or up still runs, and the embedded database
	@$(BIN)/python -m local down

test: lint ## Everything that CI runs: the checks, then all tests
	$(call SAY,Tests)
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: setup ## Only the checks: style, types, direction of imports, SQL
	@$(MAKE) --jobs 2 lint-sql lint-types lint-style lint-imports

lint-sql:
	$(call SAY,SQL)
	@$(BIN)/sqlfluff lint --nocolor include

lint-types:
	$(call SAY,Types)
	@$(BIN)/mypy

lint-style:
	$(call SAY,Style)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

lint-imports:
	$(call SAY,Direction of imports)
	@$(BIN)/lint-imports --no-logo

format: setup ## Format Python and SQL
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format .
	@$(BIN)/sqlfluff fix --quiet include

docs: setup ## Write the generated documents
	@$(BIN)/python -m local docs

bench: setup ## Run the measurements in bench/ and write bench/results.json
	@$(BIN)/python -m bench

clean: ## Stop everything and remove all local data (.data, and root's state folder)
	$(call SAY,Removing local data.)
	@if [ -x $(BIN)/python ] && [ -e $(RUNTIME) ]; then $(BIN)/python -m local clean; else rm -rf .data; fi

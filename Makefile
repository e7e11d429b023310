# `make demo` shows what BIER does; `make help` lists the rest. Everything is installed into .venv.

PYTHON ?= python3
WORKERS ?= 2
PYTEST ?=
UPGRADE ?=

BIN := .venv/bin
UV := $(BIN)/uv
INSTALL := $(UV) pip install --quiet --python $(BIN)/python -c constraints.txt
# One thread per test process: two processes with all the threads each would wait for one another. Each begins with a
# half of the tests, in order: tests of one file share what is made for them.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# Tests start hundreds of Pythons: without kept bytecode each would compile all packages anew, for 15 seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help peers demo test quick test-all lint format docs prose settings constraints clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: .venv/.demo  ## train on emoji stickers, from pretrained features to BIER, and write a report (some minutes on two cores)
	$(BIN)/bier demo

test:  ## lint, types, layers and the quick tests; PYTEST='-k name' chooses
	@$(MAKE) --no-print-directory --jobs=2 lint quick

quick: .venv/.dev
	$(TEST) -m "not slow" $(PYTEST)

test-all: lint  ## the same with the slow tests
	$(TEST) -m "not milvus" $(PYTEST)
	$(BIN)/python -m pytest -m milvus $(PYTEST) || [ $$? -eq 5 ]  # 5: none was chosen

lint: .venv/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.dev  ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.dev  ## build the documentation's site into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

prose: .venv/.dev  ## how long the sentences of the documents are; fails where they are too long
	$(BIN)/python docs/sentences.py

settings: .venv/.dev  ## write docs/settings.md anew, after a change of src/bier/settings/schema.py
	$(BIN)/python docs/settings.py

peers: .venv/.dev  ## fetch what benchmarks/evaluation.py is compared with beside our own dependencies, into build/peers
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --target build/peers open-metric-learning==4.0.0 \
		omegaconf==2.4.0 antlr4-python3-runtime==4.9.3 gdown==6.5.1 beautifulsoup4==4.15.0 validators==0.36.0

constraints: .venv/.uv  ## pin what pyproject.toml asks for; UPGRADE=--upgrade moves to the newest
	$(UV) pip compile --quiet $(UPGRADE) pyproject.toml --all-extras --no-header --no-annotate --no-emit-index-url -o constraints.txt

clean:  ## remove what was built, .venv included; runs/ stays
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.demo: .venv/.uv pyproject.toml
	@echo "Installing into .venv, 5 GB: half a minute to several, as the network goes"
	$(INSTALL) -e '.[fast,demo]'
	@touch $@

.venv/.dev: .venv/.uv pyproject.toml
	@echo "Installing into .venv, 5 GB: half a minute to several, as the network goes"
	$(INSTALL) -e '.[dev]'
	@touch .venv/.demo $@

.venv/.uv: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else 1)' || { echo "BIER needs Python 3.11 or later, and '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo not there). Name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "'$(PYTHON)' cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@touch $@

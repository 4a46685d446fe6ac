# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# One thread a process: parallel tests on few cores fight each other otherwise.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test check tests format lint types layers bench bench-onnx mutation results pages docs docs-serve clean help

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fidelity-gate needs Python 3.11 or newer: make PYTHON=python3.11 demo" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(VENV)/pyvenv.cfg pyproject.toml ci/constraints.txt
	$(PIP) install -c ci/constraints.txt -e '.[torch]'
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(PIP) install -c ci/constraints.txt -e '.[all,dev,docs]'
	@touch $@

demo: $(VENV)/.runtime ## Gate three compressions of an embedded model
	$(BIN)/fidelity-gate demo

test: check tests ## Format check, lint, types, layer contracts, tests

check: format lint types layers ## Everything but the tests

format: $(VENV)/.dev ## Check the formatting
	$(BIN)/ruff format --check --quiet .

lint: $(VENV)/.dev ## Lint
	$(BIN)/ruff check --quiet .

types: $(VENV)/.dev ## Type check (strict)
	$(BIN)/mypy

layers: $(VENV)/.dev ## Check the layer contracts
	$(BIN)/lint-imports --no-cache

tests: $(VENV)/.dev ## Run the tests
	$(BIN)/python -m pytest -q -n 2 -m "not benchmarks"

bench: $(VENV)/.dev ## Measure memory and time as ratios in one run
	$(BIN)/python -m ci.bench

bench-onnx: $(VENV)/.dev ## Measure the gate of a step graph against a loop by hand and Polygraphy
	$(BIN)/python -m ci.bench_onnx

mutation: $(VENV)/.dev ## Change the judge in every small way; each change must fail a test
	$(BIN)/python -m ci.mutate_judge

results: $(VENV)/.dev ## Regenerate docs/results.md from the zoo
	$(BIN)/python -m ci.results

pages: $(VENV)/.dev ## Regenerate the pages that are made of the code and of measured tables
	$(BIN)/python -m ci.lint_pages
	$(BIN)/python -m ci.reference_pages
	$(BIN)/python -m ci.science_figures

docs: $(VENV)/.dev ## Build the documentation strictly, into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo build/site/index.html

docs-serve: $(VENV)/.dev ## Show the documentation while it is written
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

clean: ## Remove what the targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist fidelity-gate-demo

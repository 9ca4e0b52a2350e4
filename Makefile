# The environment, the demonstration and the tests; all else is Snakemake's. `make help` lists the targets.
PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
# Without an NVIDIA GPU: the version that CI tests, of which a small CPU build may be at hand. Else: the newest.
TORCH ?= $(shell command -v nvidia-smi > /dev/null 2>&1 && echo torch || echo torch==2.13.0)

BIN = .venv/bin
DEMO = workflow/config/demo.yaml
SMOKE = IMAGENET=$(CURDIR)/.smoke/images $(BIN)/snakemake --cores $(CORES) --directory .smoke \
        --configfile workflow/config/smoke.yaml

.PHONY: help env demo test lint smoke bench
.DEFAULT_GOAL = help

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 8

env: .venv/made ## make the environment in .venv

.venv/made: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)" --editable ".[dev]"
	@touch $@

demo: .venv/made ## the main job on scikit-learn's digits; prints the table
	$(BIN)/snakemake --cores $(CORES) demo --configfile $(DEMO)
	@cat tables/digits.md
	@printf '\nAs pages: tables/digits.html, tables/frontier_digits.html (with its figure), results/cells.html (each cell)\n'

test: .venv/made ## the tests
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: .venv/made ## style, types and the workflow's own checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --no-sort --check Snakefile workflow/rules
	@# all rules share one environment, that of pyproject.toml; there is nothing else to say
	! $(BIN)/snakemake --lint 2>&1 | grep "^ *\* " | grep -v "Specify a conda environment or container"

smoke: .venv/made ## every cell kind, table and figure at tiny size, twice, and the report; the second run must find nothing to do
	$(BIN)/python tests/image_folder.py .smoke/images
	$(SMOKE)
	$(SMOKE) 2>&1 | tee .smoke/second.log
	@grep -q "Nothing to be done" .smoke/second.log
	$(SMOKE) --report report.html

bench: .venv/made ## the tables of docs/performance.md
	$(BIN)/python -m benchmarks

# `make run` sets everything up and runs the main job; `make test` sets everything up and tests it.
# Works with GNU make 3.81 (macOS) and newer. `make PYTHON=/path/to/python3.12 run` chooses the interpreter.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Price files that may lie beside the project; they are used when they are there.
PORTFOLIO_SHARED_DATA ?= ../shared/data
export PORTFOLIO_SHARED_DATA
# Further arguments of `portfolio quickstart`: make run PRICES="--prices my-prices.csv"
PRICES ?=

.PHONY: help install run test explore lint format bench ui clean

help:
	@echo 'make run      set up, load the samples, compute and serve the portfolios of the last 400 days'
	@echo 'make test     set up, then lint, types, layers and all tests'
	@echo 'make explore  look for inputs that break a property, a thousand random ones for each: some minutes'
	@echo 'make lint     the first three of these'
	@echo 'make ui       open Dagster'
	@echo 'make bench    benchmarks against named peers'
	@echo 'make format   format the code'
	@echo 'make clean    remove the environment and caches; your data in .portfolio stays'

.DEFAULT_GOAL := help

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@sh .ci/install "$(VENV)" "$(PYTHON)"
	@touch "$(INSTALLED)"

run: install
	@set --; \
	for file in prices_daily.parquet sp500/sp500_daily.csv; do \
	  if [ -f "$$PORTFOLIO_SHARED_DATA/$$file" ]; then set -- "$$@" --prices "$$PORTFOLIO_SHARED_DATA/$$file"; fi; \
	done; \
	exec $(BIN)/portfolio quickstart "$$@" $(PRICES)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --disable-progress-bar dbt_project/models dbt_project/tests

test: lint
	$(BIN)/pytest -n auto --dist loadfile -rs

explore: install
	$(BIN)/pytest -n auto --dist loadfile --hypothesis-profile=explore -m hypothesis

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	$(BIN)/python -m benchmarks

ui: install
	$(BIN)/portfolio ui

clean:
	rm -rf "$(VENV)" .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dbt_project/target dbt_project/logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

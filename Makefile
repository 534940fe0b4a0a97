# `make` lists the targets. `make test PY=path/to/python` uses an environment that exists
# instead of making one in $(VENV).
PYTHON ?= python3
VENV ?= .venv-test
ARGS ?=

ifeq ($(origin PY),undefined)
PY := $(VENV)/bin/python
READY := $(VENV)/.installed
endif

.DEFAULT_GOAL := help
.PHONY: help env test check format-check lint types house-rules unit-and-process docs-check docs format bench chaos load clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(READY) ## make the environment of the tests

$(VENV)/.installed: setup.cfg pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[server,cli,fast,dev]'
	touch $@

test: $(READY) ## run the tests (ARGS="-k wait" to choose)
	$(PY) -m pytest $(ARGS)

check: format-check lint types house-rules unit-and-process docs-check ## everything that must be green before a commit

format-check: $(READY)
	$(PY) -m ruff format --check .

lint: $(READY) ## ruff
	$(PY) -m ruff check .

types: $(READY) ## mypy --strict on package and tests
	$(PY) -m mypy

house-rules: $(READY) ## the layers and other rules of the source tree
	$(PY) -m pytest -q tests/unit/test_house_rules.py

unit-and-process: $(READY)
	$(PY) -m pytest --ignore=tests/docs --ignore=tests/unit/test_house_rules.py

docs-check: $(READY) ## run the code of the docs, compare generated pages with their source
	@if [ -d tests/docs ]; then $(PY) -m pytest -q tests/docs; fi

docs: $(READY) ## write the generated parts of the docs anew
	$(PY) tools/docs.py

format: $(READY) ## rewrite the source in the house style
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: $(READY) ## the figures of the README, in 8 minutes (ARGS="--only drain --rounds 1" to choose)
	$(PY) -m benchmarks $(ARGS)

load: $(READY) ## 200 workers, 2,000 waiters, a million jobs, ten minutes of work (ARGS="idle" to choose)
	$(PY) -m tests.load $(ARGS)

chaos: $(READY) ## jobs of all kinds under faults (ARGS="--mix kills --seeds 5", --help tells more)
	$(PY) -m tests.chaos $(ARGS)

clean: ## remove what the targets above made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist rqlike.egg-info .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Everything a person does with a checkout. `make help` lists the targets.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# The first Python that runs and is new enough; name another with PYTHON=...
# Shims that stand for a missing version fail here and are passed over. The
# BigQuery stand-in needs 3.13, so that one comes first.
PYTHON ?= $(shell for python in python3.13 $(HOME)/.pyenv/versions/3.13*/bin/python \
	python3.12 python3.11 python3; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	2>/dev/null && echo "$$python" && break; done)
# Where it is set, TensorFlow and Beam are compiled anew in each process: ten seconds more a start.
unexport PYTHONDONTWRITEBYTECODE
READY := $(VENV)/ready
# What developers run and users do not: it lies beside the tests, outside the package.
RIGS := PYTHONPATH=tests $(BIN)/python -m rigs
# Of `make loadtest`: where it measures, and a tenant that goes wild beside nine others.
TOUR := .testudo/loadtest/tour
NEIGHBOUR := --profile neighbour --duration_s 20 --out $(TOUR)/neighbour
# The image's packages: the versions of constraints.txt, for its Python, with their hashes.
LOCK_IMAGE = $(BIN)/uv pip compile --quiet --constraint constraints.txt --generate-hashes \
	--python-version 3.13 --python-platform x86_64-manylinux_2_28 --no-annotate \
	--custom-compile-command "make lock"

# Tests that need no server of the local stack.
INSIDE := tests/unit tests/transforms tests/graph tests/contract

.DEFAULT_GOAL := check

.PHONY: help
help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY)  ## Make the environment: pinned packages, the testudo command

$(READY): constraints.txt setup.py
	@test -n "$(PYTHON)" || { echo "Testudo needs Python 3.11, 3.12 or 3.13: install one, or name it: make PYTHON=/path/to/python"; exit 1; }
	@echo "Environment: $(PYTHON) -> $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet "$$(grep '^uv==' constraints.txt)"
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python constraints.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

.PHONY: demo
demo: $(READY)  ## Train, start the local stack, stream 500 items, show the report
	@$(BIN)/testudo demo

.PHONY: train
train: $(READY)  ## Train the sample release and print its accuracy
	@$(BIN)/testudo train

.PHONY: bench
bench: $(READY)  ## Speed and cost of an item: plain loop, files, streams in two shapes of bundles
	@$(RIGS) bench

.PHONY: chaos
chaos: $(READY)  ## Ten minutes of kills, faults and hostile items; counts what is lost
	@$(RIGS) chaos

.PHONY: loadtest
loadtest: $(READY)  ## Ten minutes from artificial load to limits for 2,000 customers, with a report
	@test -e .testudo/releases/current.json || $(BIN)/testudo train
	@worst=0; \
	step() { \
		echo "$$ testudo loadtest $$*"; $(BIN)/testudo loadtest "$$@" && return; code=$$?; \
		test $$code -eq 1 || exit $$code; worst=1; \
	}; \
	step calibrate --seconds 12 --out $(TOUR)/calibration; \
	step knee --slo_p95 2 --probe_s 8 --budget_s 100 --out $(TOUR) --name knee; \
	step run $(NEIGHBOUR) --name calm --without_wild; \
	step run $(NEIGHBOUR) --name wild; \
	step run $(NEIGHBOUR) --name quotas --tenant_share 0.1; \
	step plan --customers 2000 --slo_p95 10 --calibration $(TOUR)/calibration/calibration.json \
		--out $(TOUR)/plan.toml; \
	step report $(TOUR) --out $(TOUR)/report.html; \
	exit $$worst

.PHONY: fuzz
fuzz: $(READY)  ## Changed messages and images at parser and decoder, for a minute
	@$(RIGS) fuzz

.PHONY: reference
reference: $(READY)  ## Write docs/reference.md from the tables of the code
	@$(RIGS) reference

.PHONY: check
check: lint types fast  ## Lint, types and the fast tests

.PHONY: lint
lint: $(READY)  ## ruff: rules and format; hadolint: Dockerfiles; Cloud Build's schema
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/hadolint templates/Dockerfile templates/builder/Dockerfile
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.cloudbuild cloudbuild.yaml \
		templates/promote.yaml

.PHONY: types
types: $(READY)  ## mypy, strict
	@$(BIN)/mypy

.PHONY: fast
fast: $(READY)  ## The fast tests: units, composites, graph, contracts
	@$(BIN)/python -m pytest -q -n 2 -m "not slow" $(INSIDE)

# Three processes: tests of the local stack wait for servers as much as they work.
.PHONY: test
test: check  ## Lint, types, all tests but the long ones: end to end on the local stack
	@$(BIN)/python -m pytest -q -n 3 --durations=10 -m "slow and not long" tests

.PHONY: test-all
test-all: test  ## All of it, as continuous integration does: kills, load, trainings of the pages
	@$(BIN)/python -m pytest -q -n 3 --durations=10 -m long tests

.PHONY: lock
lock: $(READY)  ## Pin the newest packages that fit setup.py
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate \
		--custom-compile-command "make lock" --output-file constraints.txt setup.py
	@printf 'uv\nsetuptools\n' | $(LOCK_IMAGE) --output-file templates/image/requirements-build.txt -
	@$(LOCK_IMAGE) --output-file templates/image/requirements-cpu.txt setup.py
	@echo "tensorflow[and-cuda]" | $(LOCK_IMAGE) \
		--output-file templates/image/requirements-gpu.txt setup.py -

.PHONY: clean
clean:  ## Remove the environment, the local stack's files and caches
	@if [ -x $(BIN)/testudo ]; then $(BIN)/testudo local down; fi
	@rm -rf $(VENV) .testudo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache

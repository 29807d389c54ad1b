# VisionTune. `make` prints this help. Python 3.11 to 3.13 is all that must be there.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
SOURCES := libs services gateway stack tests benchmarks examples tools
WEB := gateway/web
WEB_BUILD := gateway/visiontune_gateway/web/index.html
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Bytecode is worth its files: without it a worker takes three times as long to start.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show this help.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.stack $(WEB_BUILD) ## Make .venv with everything that `visiontune up` needs.

# Two installs from one lock: what runs the stack, and what tests and develops it.
$(VENV)/.uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

$(VENV)/.stack: $(VENV)/.uv requirements-stack.lock pyproject.toml
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --require-hashes -r requirements-stack.lock
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --no-deps -e .
	@touch $@

# Without bitsandbytes, which is for accelerators, and adds a fifth to the start of each worker.
$(VENV)/.dev: $(VENV)/.stack requirements.lock
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --require-hashes \
		--constraints requirements.lock --requirements pyproject.toml --extra dev
	@touch $@

# Node comes from its wheel, so that nothing but Python has to be installed by hand.
$(WEB_BUILD): $(VENV)/.stack $(shell find $(WEB) -type f -not -path '*/node_modules/*' 2>/dev/null)
	cd $(WEB) && npm ci --no-fund --no-audit --loglevel=error && npm run build --silent
	@touch $@

lock: $(VENV)/.uv ## Pin the newest versions that pyproject.toml allows.
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --all-extras --python-version 3.11 \
		--custom-compile-command "make lock" pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --extra stack --python-version 3.11 \
		--custom-compile-command "make lock" -c requirements.lock pyproject.toml -o requirements-stack.lock
	echo uv==$(UV_VERSION) | $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		--custom-compile-command "make lock" - -o k8s/images/uv.lock

protos: $(VENV)/.dev ## Generate code from protos/.
	python tools/generate_protos.py

up: setup ## Start the stack on this machine.
	visiontune up --detach

demo: setup ## Import scans of digits, train on them, load the result elsewhere.
	visiontune demo

demo-full: setup ## The same, then LoRA on top of the first result.
	visiontune demo --full

# Processes: half as many again as cores, since a test that drives a browser or a server waits for it.
# A file's tests stay together, and so do files that share a stack: see tests/conftest.py.
TESTS := python -m pytest -m "not slow and not chaos and not cluster" \
	--numprocesses $(shell expr $$(nproc) \* 3 / 2) --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev $(WEB_BUILD) ## Run the tests.
	cd $(WEB) && npm test --silent
	$(TESTS) $(ARGS)

test-postgres: $(VENV)/.dev $(WEB_BUILD) ## Run the tests on PostgreSQL instead of SQLite.
	VISIONTUNE_TEST_DATABASE=postgresql $(TESTS) $(ARGS)

test-chaos: $(VENV)/.dev $(WEB_BUILD) ## Kill programs, and take their database and object store away; some minutes.
	python -m pytest -m "chaos and not slow" $(ARGS)

test-slow: $(VENV)/.dev $(WEB_BUILD) ## Run what takes longer: many kills, large archives, whole demos.
	python -m pytest -m "slow and not cluster" $(ARGS)

# Beside the environment, not in it: colpali-engine asks for older versions of torch and peft.
PEERS := open_clip_torch==3.3.0 colpali-engine==0.3.18

build/peers: $(VENV)/.uv Makefile
	$(BIN)/uv pip install --quiet --no-deps --target $@ $(PEERS)
	@touch $@

# Beside it as well: what they need would come in the place of newer versions. Tests look there last.
TRACKERS := mlflow-skinny==3.17.2 trackio==0.43.0 wandb==0.31.0

build/trackers: $(VENV)/.uv Makefile
	$(BIN)/uv pip install --quiet --target $@ $(TRACKERS)
	@touch $@

test-parity: $(VENV)/.dev build/peers build/trackers ## Compare with transformers, TRL, open_clip, colpali-engine and trackers' stores, slow ones too.
	python -m pytest tests/parity $(ARGS)

test-cluster: $(VENV)/.dev ## Run what needs a real Kubernetes control plane, built with Go once; KUEUE=--kueue builds Kueue too.
	python -m tests.cluster.build $(KUEUE)
	python -m pytest tests/cluster -m "cluster and not slow" $(ARGS)

test-cluster-slow: $(VENV)/.dev ## Kill the trainer 20 times while 100 jobs run on a real control plane.
	python -m tests.cluster.build
	python -m pytest tests/cluster -m "cluster and slow" $(ARGS)

soak: $(VENV)/.dev ## Let controller, cluster and failures act at random for 100,000 steps (a quarter of an hour).
	VISIONTUNE_SOAK_STEPS=100000 python -m pytest tests/unit/trainer/kubernetes/test_any_order.py $(ARGS)

lint: $(VENV)/.dev ## Check style, types, imports, contracts and generated files.
	ruff check $(SOURCES)
	ruff format --check $(SOURCES)
	mypy $(SOURCES)
	lint-imports
	buf lint
	hadolint k8s/images/Dockerfile
	python tools/check_generated.py
	cd $(WEB) && npm run --silent lint && npm run --silent types:check

format: $(VENV)/.dev ## Format the code.
	ruff check --fix $(SOURCES)
	ruff format $(SOURCES)

# Where this branch left origin/main; on main itself the last tag, without one the commit before.
BEFORE = $(shell git merge-base HEAD origin/main 2>/dev/null | grep -v "$$(git rev-parse HEAD)" \
	|| git describe --tags --abbrev=0 HEAD~1 2>/dev/null || git rev-parse HEAD~1)

breaking: $(VENV)/.dev ## Check that protos/ breaks no client of origin/main, the last tag or the last commit.
	buf breaking --against '.git#ref=$(BEFORE)'

bench: $(VENV)/.dev ## Measure against peers; writes benchmarks/results.json.
	python -m benchmarks

clean: ## Remove what was built. State in VISIONTUNE_HOME stays.
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf $(WEB)/node_modules gateway/visiontune_gateway/web
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup lock protos up demo demo-full test test-postgres test-chaos test-slow \
	test-parity test-cluster test-cluster-slow soak lint format breaking bench clean

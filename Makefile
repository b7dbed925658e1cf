# make run and make test set up everything that they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
DOCKER ?= docker
TORCH ?= cpu
RUNS ?= 1000000
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' service/lossmeter/__init__.py)
, := ,

TOOLS := build/openapi
NODE_BIN = $(TOOLS)/node/node_modules/.bin

.PHONY: soak chaos capacity install run test test-crash test-jax test-clients lint-openapi fuzz image test-image check sync bench \
  confidence clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[server]" --group dev --group test
	touch $@

run: install
	$(BIN)/lossmeter serve --host $(HOST) --port $(PORT)

test: install
	$(BIN)/python -m pytest

# jax is large, and one file of the client needs it.
test-jax: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group jax
	$(BIN)/python -m pytest tests/client/test_jax.py

# A hundred rounds of kill -9 under four writers, on each database; PostgreSQL is started by the tests, and needs its server
# binaries (apt-get install postgresql).
test-crash: install
	LOSSMETER_CRASH_ROUNDS=100 $(BIN)/python -m pytest tests/runs/test_crashes.py

# RUNS executions of each decoder, guided by what they reach; what they find stays in build/found. atheris has wheels for
# some versions of Python only, and so is no part of the environment but stands beside it.
fuzz: install build/fuzz
	PYTHONPATH=build/fuzz $(BIN)/python -m tests.fuzz --runs $(RUNS)

build/fuzz: constraints.txt
	rm -rf $@
	$(BIN)/python -m pip install --quiet --target $@ --constraint constraints.txt atheris

# Ten minutes of mixed load; rewrites its section of docs/operations.md.
soak: install
	PYTHONPATH=service $(BIN)/python -m tests.endurance.soak --write

# One worker and two, and twice what one can do; rewrites these sections of docs/operations.md.
capacity: install
	PYTHONPATH=service $(BIN)/python -m tests.endurance.capacity --write

# Faults under load, for root and with PostgreSQL installed; rewrites its section of docs/operations.md.
chaos: install
	PYTHONPATH=service $(BIN)/python -m tests.endurance.chaos --write

# TORCH=cuda builds the other variant. PIP_CONF names a file with the settings of pip, if it needs any; docs/deployment.md has the rest.
image:
	$(DOCKER) build --file docker/Dockerfile --tag lossmeter:$(VERSION)-$(TORCH) --build-arg TORCH=$(TORCH) \
	  --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) \
	  $(foreach name,EXTRAS PIP_ARGS PYTHON_IMAGE,$(if $($(name)),--build-arg $(name)="$($(name))")) \
	  $(if $(PIP_CONF),--secret id=pip$(,)src=$(PIP_CONF)) .

# Builds, runs and stops the image, without Docker and without pulling anything: as root, on Debian.
test-image: build/image/.installed
	sh tests/image/packages.sh
	TORCH=$(TORCH) build/image/bin/python -m pytest --confcutdir=tests/image tests/image

build/image/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv build/image
	build/image/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	build/image/bin/python -m pip install --quiet --constraint constraints.txt --group image
	touch $@

# Both documents against the recommended rules of Spectral and Redocly, every warning an error. Needs Node.js.
lint-openapi: $(TOOLS)/node/.installed
	$(NODE_BIN)/spectral lint --ruleset openapi/spectral.yaml --fail-severity hint openapi/openapi.json openapi/openapi-3.0.json
	REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true $(NODE_BIN)/redocly lint --config openapi/redocly.yaml \
	  --max-problems 1000 openapi/openapi.json openapi/openapi-3.0.json

# Generates clients in Python, TypeScript, Java and Go, compiles them, and calls a server with each. Needs Node.js, a JDK, and
# for Go, where no module proxy can be reached, the Debian package golang-gopkg-validator.v2-dev.
test-clients: install $(TOOLS)/node/.installed $(TOOLS)/venv/.installed
	$(BIN)/python -m pytest tests/generated_clients

$(TOOLS)/node/.installed: openapi/package.json openapi/package-lock.json
	mkdir -p $(@D)
	cp $^ $(@D)
	npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund
	touch $@

$(TOOLS)/venv/.installed: openapi/requirements.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(@D)/bin/python -m pip install --quiet --requirement $<
	touch $@

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tests.contracts.generated --check

sync: install
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .
	$(BIN)/python -m tests.contracts.generated

bench: install build/litserve
	$(BIN)/python -m tests.benchmarks

# How often intervals hold, over 2,000 simulated data sets; rewrites the table of docs/confidence.md.
confidence: install
	PYTHONPATH=service $(BIN)/python -m tests.metrics.coverage

# Beside the environment, not in it: what LitServe brings along would change how uvicorn starts.
build/litserve: constraints.txt
	rm -rf $@
	$(BIN)/python -m pip install --quiet --target $@ --constraint constraints.txt litserve

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

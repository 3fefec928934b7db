# Needs a Python of 3.12 or newer and make, and sets up the rest by itself, in .venv.
# PYTHON=/path/to/python3 says which Python a new .venv is made with (make clean for a new one). Every variable of the
# environment and of the command line reaches the program: make run LOCKSTREAM_PORT=9000

BIN := .venv/bin

# Tests start hundreds of processes, and each would compile all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE
COMPILE := $(BIN)/python -m uv pip compile pyproject.toml --quiet --no-config --universal --python-version 3.12 \
	--generate-hashes --no-annotate --no-strip-extras --custom-compile-command "make requirements"

.DEFAULT_GOAL := help
.PHONY: help run test check format formatted lint types layers coverage crash fuzz soak bench bench-quick openapi requirements upgrade clean \
	runtime tools

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1#\2/p' Makefile | awk -F '#' '{ printf "%-20s %s\n", $$1, $$2 }'

run: runtime ## start the service
	@$(BIN)/python run.py

test: tools ## run the tests, in parallel
	@$(BIN)/python -m pytest -q -n auto

check: formatted lint types layers coverage ## all that a change must pass: form, lint, types, layers, tests with coverage

format: tools ## rewrite the code to its form, and mend what the linter can
	@$(BIN)/python -m ruff check --fix-only --quiet
	@$(BIN)/python -m ruff format

formatted: tools
	@$(BIN)/python -m ruff format --check

lint: tools ## look for faults
	@$(BIN)/python -m ruff check

types: tools ## check the types
	@$(BIN)/python -m mypy

layers: tools ## check that imports point down
	@$(BIN)/python -c 'from importlinter.cli import lint_imports_command as main; main()' --no-logo

coverage: tools
	@$(BIN)/python -m pytest -q -n auto --cov --cov-report=term

crash: tools ## provoke it in every way, in an hour or two, and print what was lost; LOCKSTREAM_CRASH_REPORT=PAGE writes it there
	@LOCKSTREAM_CRASH=full $(BIN)/python -m pytest lockstream/tests/crash -q

fuzz: tools ## look for what breaks the decoders, for SECONDS=300, led by what code is reached
	@$(BIN)/python -m lockstream.tests.fuzz $(or $(SECONDS),300)

soak: tools ## have one server live for SOAK_SECONDS=1800 under mixed load: nothing may grow, nothing may slow down
	@$(BIN)/python -m bench.soak

bench: tools ## measure it beside its peers, in some 30 minutes, and write docs/performance.md
	@$(BIN)/python -m bench --write docs

bench-quick: tools ## the same with little of everything, in a few minutes, and write nothing
	@$(BIN)/python -m bench --quick

openapi: tools ## write lockstream/openapi/openapi.yaml
	@$(BIN)/python -m lockstream.openapi

requirements: tools ## write requirements*.txt from pyproject.toml, keeping the versions that still fit
	@$(COMPILE) --extra test --group dev --output-file requirements-dev.txt >/dev/null
	@$(COMPILE) --extra test --constraint requirements-dev.txt --output-file requirements.txt >/dev/null

upgrade: COMPILE += --upgrade
upgrade: requirements ## the same, with the newest versions

clean: ## remove what make and its tools made; a log stays
	@rm -rf .venv dist htmlcov .coverage .coverage.* .hypothesis .schemathesis .*_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

runtime:
	@scripts/set-up requirements.txt

tools:
	@scripts/set-up requirements-dev.txt

# Needs Python 3.12 or newer and make. Everything else is installed into .venv at the first use.
# PYTHON=/path/to/python3 chooses the Python of a new .venv (make clean removes the old one). Variables of the
# environment and of the command line reach the program: make run LOCKSTREAM_PORT=9000

BIN := .venv/bin

# Without compiled files, each of the hundreds of processes that the tests start would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
COMPILE := $(BIN)/python -m uv pip compile pyproject.toml --quiet --no-config --universal --python-version 3.12 \
	--generate-hashes --no-annotate --no-strip-extras --custom-compile-command "make requirements"

.DEFAULT_GOAL := help
.PHONY: help run demo test check static format formatted lint types layers crash fuzz soak bench bench-quick openapi \
	screenshots requirements upgrade clean runtime tools

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1#\2/p' Makefile | awk -F '#' '{ printf "%-20s %s\n", $$1, $$2 }'

run: runtime ## start the service
	@$(BIN)/python run.py

demo: runtime ## show Lockstream on a simulated network: a month at once, then live; Ctrl-C leaves nothing behind
	@$(BIN)/python -m lockstream demo $(ARGS)

test: tools ## run the tests, in parallel; COVERAGE=1 measures their coverage
	@$(BIN)/python -m pytest -q -n auto --dist worksteal -rs $(if $(COVERAGE),--cov --cov-report=term)

check: static ## run everything that a change must pass: format, lint, types, layers, tests with coverage
	@$(MAKE) --no-print-directory test COVERAGE=1

static: formatted lint types layers ## run the checks that execute nothing

format: tools ## format the code, and apply the linter's safe fixes
	@$(BIN)/python -m ruff check --fix-only --quiet
	@$(BIN)/python -m ruff format

formatted: tools
	@$(BIN)/python -m ruff format --check

lint: tools ## run the linter
	@$(BIN)/python -m ruff check

types: tools ## check the types
	@$(BIN)/python -m mypy

layers: tools ## check that imports point down
	@$(BIN)/python -c 'from importlinter.cli import lint_imports_command as main; main()' --no-logo

crash: tools ## provoke every fault, for more than an hour, and print the losses; LOCKSTREAM_CRASH_REPORT=PAGE writes them there
	@LOCKSTREAM_CRASH=full $(BIN)/python -m pytest lockstream/tests/crash -q -n auto --dist worksteal -o faulthandler_timeout=3600

fuzz: tools ## fuzz the decoders for SECONDS=300, guided by coverage
	@$(BIN)/python -m lockstream.tests.fuzz $(or $(SECONDS),300)

soak: tools ## run one server for SOAK_SECONDS=1800 under mixed load: nothing may grow or slow down
	@$(BIN)/python -m bench.soak

bench: tools ## measure Lockstream beside its peers, in some 55 minutes, and write docs/performance.md
	@$(BIN)/python -m bench --write docs

bench-quick: tools ## measure a little of everything, in a few minutes, and write nothing
	@$(BIN)/python -m bench --quick

openapi: tools ## write lockstream/openapi/openapi.yaml and asyncapi.yaml
	@$(BIN)/python -m lockstream.openapi

requirements: tools ## write requirements*.txt from pyproject.toml, keeping the versions that still fit
	@$(COMPILE) --extra test --extra otel --group dev --output-file requirements-dev.txt >/dev/null
	@$(COMPILE) --extra test --constraint requirements-dev.txt --output-file requirements.txt >/dev/null
	@$(COMPILE) --constraint requirements.txt --output-file requirements-runtime.txt >/dev/null

upgrade: COMPILE += --upgrade
upgrade: requirements ## write requirements*.txt with the newest versions

screenshots: tools ## make pictures of every page of the console in FOLDER=screenshots, and those of README
	@$(BIN)/python -m lockstream.tests.docs.screenshots $(or $(FOLDER),screenshots)

clean: ## remove everything that make and its tools have made, but no log
	@rm -rf .venv dist htmlcov .coverage .coverage.* .hypothesis .schemathesis .*_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

runtime:
	@scripts/set-up requirements.txt

tools:
	@scripts/set-up requirements-dev.txt

# `make demo` and `make test` need Python 3.11 or newer, make and git; everything else they install into .venv.
# Another interpreter: make test PYTHON=python3.13 VENV=.venv313. More for pytest: make test ARGS="-k pool -x".

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := $(VENV)/.installed
INSTALLED_LINT := $(VENV)/.installed-lint
INSTALLED_BENCH := $(VENV)/.installed-bench
INSTALLED_DOCS := $(VENV)/.installed-docs

# Two at a time, file by file. The live tests go alone: they measure, and share servers.
PARALLEL ?= -n 2 --dist loadfile

BENCHMARKS := inmemory live batch fairness origins memory bodies connect cancel_storm sharing imports
FIGURES ?= build/bench

.PHONY: help demo test check servers live bench fuzz soak hazards docs site clean

help:
	@echo "make demo     set everything up and run netio's demo"
	@echo "make test     set everything up and run the tests, without the live ones"
	@echo "make check    ruff, mypy, pyright and the layers"
	@echo "make servers  install the servers that the live tests use, from Debian and PyPI"
	@echo "make live     run the tests against real servers"
	@echo "make bench    run the benchmarks"
	@echo "make fuzz     run the property tests for long"
	@echo "make soak     run the long storms: cancellations, GOAWAY, everything on one connection, many names"
	@echo "make hazards  print which hazard has a test"
	@echo "make docs     run the code of README.md and docs/, and build the site"
	@echo "make site     build the site of the documentation alone"
	@echo "make clean    remove what was made here"

demo: $(INSTALLED)
	$(BIN)/netio demo

test: $(INSTALLED)
	$(BIN)/pytest -m "not live" $(PARALLEL) $(ARGS)

check: $(INSTALLED_LINT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/pytest -q tests/test_layers.py

servers: $(INSTALLED)
	VENV=$(VENV) sh tests/install_servers.sh

live: $(INSTALLED)
	$(BIN)/pytest -m live $(ARGS)

# One of them: .venv/bin/python bench/live.py --help. A short look at all: make bench ARGS=--quick.
bench: $(INSTALLED_BENCH)
	@mkdir -p $(FIGURES)
	@set -e; for program in $(BENCHMARKS); do \
		echo "== bench/$$program.py"; $(BIN)/python "bench/$$program.py" --json "$(FIGURES)/$$program.json" $(ARGS); \
	done
	$(BIN)/python bench/bodies.py --protocol h2 --kind streamed --delay 50 --json "$(FIGURES)/bodies_delay.json" $(ARGS)
	@echo "$(BIN)/python bench/report.py $(FIGURES)/*.json puts the figures into docs/performance.md"

fuzz: $(INSTALLED)
	$(BIN)/pytest -m "fuzz or hypothesis" --hypothesis-profile=fuzz --timeout=3000 -o faulthandler_timeout=3600 $(ARGS)

soak: $(INSTALLED)
	$(BIN)/python bench/cancel_storm.py --client netio:*
	$(BIN)/python bench/sharing.py
	$(BIN)/python bench/files.py
	$(BIN)/python bench/bombs.py
	$(BIN)/python -m tests.transport.dns.campaign --seconds 30

hazards: $(INSTALLED)
	@$(BIN)/python -m tests.hazards

docs: $(INSTALLED) site
	$(BIN)/pytest tests/test_docs.py tests/docs $(ARGS)

# In build/site; a warning is an error. Not with --quiet: mkdocs then counts no warnings, and none fails the build.
site: $(INSTALLED_DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --config-file docs/site/mkdocs.yml

clean:
	rm -rf $(VENV) .tox build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("netio needs Python 3.11 or newer: make ... PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade "pip>=25.1"
	$(PIP) install --quiet --editable ".[trio,fast,cli,demo]" --group test
	@touch $@

$(INSTALLED_LINT): $(INSTALLED)
	$(PIP) install --quiet --group lint
	@touch $@

$(INSTALLED_DOCS): $(INSTALLED)
	$(PIP) install --quiet --group docs
	@touch $@

$(INSTALLED_BENCH): $(INSTALLED)
	$(PIP) install --quiet --group bench
	@touch $@

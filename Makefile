# Works on a machine that has Python 3.11 or newer (with venv and pip), make and git.
# Another Python:  make test PYTHON=python3.13

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
# Tests wait for servers as long as they compute, so there are two workers for each core.
WORKERS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))
# What to install; constraints-lowest.txt has the oldest versions that are supported.
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
# ONNX Runtime, which tests of voices load, otherwise reports its use to its maker.
export ORT_DISABLE_TELEMETRY ?= 1
# Named after what is installed, so that other constraints build it anew.
STAMP := $(VENV)/.installed-$(notdir $(CONSTRAINTS))
BENCH_STAMP := $(VENV)/.installed-bench
DOCS_STAMP := $(VENV)/.installed-docs
VOICE_STAMP := $(VENV)/.installed-voice
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The tests that take their number of examples from the environment, or all of a product.
FUZZED = tests/protocol $(shell \
  grep -rlE 'FUZZ_EXAMPLES|support\.portions' tests --include='test_*.py' | grep -v ^tests/protocol/)
FUZZ_EXAMPLES ?= 10000
# The lowest and the highest version of each major of websockets that pyproject.toml allows.
WEBSOCKETS ?= 15.0 15.0.1 16.0 16.1.1 17.0 17.4
WITH_SOCKETS := tests/transport tests/test_connection.py tests/test_checkpoints.py \
  tests/faults/test_slow.py tests/faults/test_teardown.py
CHECKED := src tests benchmarks clients examples docs

.PHONY: help setup chat serve voice test test-browser test-websockets calls clients compare coverage bench docs lint format fuzz clean

help:
	@echo "make setup     build $(VENV) (the other targets do it by themselves)"
	@echo "make chat      talk to the bot; options by ARGS=\"--transport http\""
	@echo "make serve     run the sandbox as a server; options by ARGS=\"--port 9000\""
	@echo "make voice     talk to the bot in the browser; options by ARGS=\"--port 8000\""
	@echo "make test      run the tests; options for pytest by ARGS=..."
	@echo "make test-browser     run those with a real browser, where Chromium is found"
	@echo "make test-websockets  run those of connections with each version of websockets"
	@echo "make calls     hold the calls that take long, and run the programs that do"
	@echo "make clients   try other people's clients against the sandbox; some by ARGS=\"langchain\""
	@echo "                 SUITE=DIR runs the tests of Open Responses, of a checkout of theirs"
	@echo "make compare   put the same questions to other servers that stand in for this API"
	@echo "make lint      check style and types"
	@echo "make format    put style right as far as that can be done"
	@echo "make coverage  run the tests, and tell which lines and branches they leave out"
	@echo "make docs      build the site into build/site"
	@echo "make bench     run the benchmarks; QUICK=1 for a short run, PEERS=... to compare"
	@echo "make fuzz      run the property tests with many more examples, and whole products;"
	@echo "                 FUZZ_EXAMPLES=500 makes it shorter"
	@echo "make clean     remove $(VENV), build and caches"

define FIND_PYTHON
command -v $(PYTHON) >/dev/null || \
  { echo "$(PYTHON) was not found: install Python 3.11 or newer, or name one with PYTHON=..." >&2; exit 1; }; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
  { echo "$(PYTHON) is too old: Python 3.11 or newer is needed; name one with PYTHON=..." >&2; exit 1; }
endef

setup: $(STAMP)

# A `make` that fails half-way must not leave a stamp, so it is written last. What a call needs is
# part of it: built just before, it is added to, and a call that is under way goes on.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	@$(FIND_PYTHON)
	@echo "Building $(VENV) (once; it takes a minute or two) ..." >&2
	@{ test $(VOICE_STAMP) -nt pyproject.toml && test $(VOICE_STAMP) -nt $(CONSTRAINTS); } || \
	  $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) -e '.[dev]' -c $(CONSTRAINTS) </dev/null >&2
	@touch $@ $(VOICE_STAMP)

# What a call and a chat need and no more, so that the first one begins soon.
$(VOICE_STAMP): pyproject.toml $(CONSTRAINTS)
	@$(FIND_PYTHON)
	@test -x $(BIN)/python || { \
	  echo "Building $(VENV) (once; it takes a minute) ..." >&2; $(PYTHON) -m venv $(VENV); }
	@$(PIP) -e '.[voice]' -c $(CONSTRAINTS) </dev/null >&2
	@touch $@

# What a target needs besides, by the name of the extra.
$(BENCH_STAMP) $(DOCS_STAMP): $(VENV)/.installed-%: $(STAMP)
	@$(PIP) -e '.[dev,$*]' -c $(CONSTRAINTS) </dev/null >&2
	@touch $@

# At a terminal the chat is a job of its own, so Ctrl-C reaches the chat and not make, which would
# report it as its own end.
chat: $(VOICE_STAMP)
	@if [ -t 0 ]; then set -m; fi; $(BIN)/pipecat-responses chat $(ARGS); exit $$?

# Ctrl-C is the server's alone, as it is the chat's.
serve: $(VOICE_STAMP)
	@if [ -t 0 ]; then set -m; fi; $(BIN)/pipecat-responses serve $(ARGS); exit $$?

voice: $(VOICE_STAMP)
	@if [ -t 0 ]; then set -m; fi; $(BIN)/python -m examples.voice $(ARGS); exit $$?

# Each worker, and each command that a test runs, would compile everything anew; and to write what
# nobody reads is a twentieth of the work. LOGURU_LEVEL=DEBUG shows it where a test fails.
test coverage: export PYTHONDONTWRITEBYTECODE =
test coverage: export LOGURU_LEVEL ?= WARNING

test: $(STAMP)
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

calls: $(STAMP)
	@$(BIN)/python -m pytest -n $(WORKERS) -m long_calls --ignore tests/voice/test_browser.py $(ARGS)

coverage: $(STAMP)
	@$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term --cov-report=html $(ARGS)

test-browser: $(STAMP)
	@$(BIN)/python -m pytest -m long_calls tests/voice/test_browser.py $(ARGS)

# The warning is about a successor of MkDocs that is not used here.
docs: $(DOCS_STAMP)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/site/index.html"

# Each version in a folder of its own, found before the one that is installed.
test-websockets: $(STAMP)
	@for version in $(WEBSOCKETS); do \
	  folder=build/websockets/$$version; \
	  test -d $$folder/websockets || \
	    $(PIP) --no-deps --target $$folder websockets==$$version </dev/null >&2 || exit 1; \
	  found=$$(PYTHONPATH=$$folder $(BIN)/python -c \
	    'from importlib.metadata import version; print(version("websockets"))'); \
	  test $$found = $$version || { echo "websockets $$found hides $$version" >&2; exit 1; }; \
	  echo "websockets $$version"; \
	  PYTHONPATH=$$folder $(BIN)/python -m pytest -q -n $(WORKERS) $(WITH_SOCKETS) $(ARGS) || exit 1; \
	done

compare: $(STAMP)
	@echo "What is not in build/clients yet is installed there first; that takes minutes ..." >&2
	@$(BIN)/python -u -m clients.compare $(ARGS)

clients: $(STAMP)
	@echo "What is not in build/clients yet is installed there first; that takes minutes ..." >&2
	@$(BIN)/python -u -m clients $(if $(SUITE),--suite $(SUITE)) $(ARGS)

lint: $(STAMP)
	@$(BIN)/ruff check $(CHECKED)
	@$(BIN)/ruff format --check $(CHECKED)
	@$(BIN)/mypy

format: $(STAMP)
	@$(BIN)/ruff check --fix $(CHECKED)
	@$(BIN)/ruff format $(CHECKED)

bench: $(BENCH_STAMP)
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(PEERS),--peers $(PEERS)) $(ARGS)

fuzz: $(STAMP)
	@FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/python -m pytest -n $(WORKERS) $(FUZZED) --timeout=0 $(ARGS)

clean:
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

# `make demo` and `make test` set up all they need: a virtual environment, the Rust build, packages from PyPI.

PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .venv-bench
ROUNDS ?= 20
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
SOURCES := $(shell find crates python -name '*.rs' -o -name '*.py' -o -name '*.pyi' -o -name 'Cargo.toml') \
	Cargo.toml pyproject.toml README.md
LOOM := RUSTFLAGS="--cfg loom" cargo test --package treequeues --lib --target-dir target/loom

.PHONY: demo test soak bench lint test-rust test-python clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo ## The main job: Atari actors to a learner, beside multiprocessing.Queue.
	$(BIN)/python examples/atari.py $(ARGS)

test: test-rust test-python ## All that must hold, in under 15 minutes on 2 cores from nothing.

lint: $(VENV)/.test $(VENV)/.demo ## Format, lints, types and documentation, warnings as errors.
	cargo fmt --check
	cargo clippy --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test-rust:
	cargo test --workspace
	$(LOOM) interleave

test-python: $(VENV)/.test $(VENV)/.demo
	$(BIN)/python -m pytest $(ARGS)

soak: $(VENV)/.test ## The long part: the big models, then ROUNDS rounds of kills and forks, each with a new seed.
	cargo test --release --package treequeues --test model -- --ignored --nocapture --test-threads 1
	for round in $$(seq $(ROUNDS)); do \
		$(BIN)/python -m pytest tests/processes/test_kill.py tests/processes/test_fork.py $(ARGS) || exit 1; \
	done

bench: $(BENCH_VENV)/.bench ## Puts and gets beside the other queues; writes a dated record.
	$(BENCH_VENV)/bin/python -m benchmarks $(ARGS)

clean:
	cargo clean
	rm -rf $(VENV) $(BENCH_VENV)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'

$(VENV)/.package: $(BIN)/python $(SOURCES)
	$(PIP) install --force-reinstall --no-deps .
	$(PIP) install .
	touch $@

$(VENV)/.demo: $(VENV)/.package pyproject.toml
	$(PIP) install --group demo
	touch $@

$(VENV)/.test: $(VENV)/.package pyproject.toml
	$(PIP) install --group test
	touch $@

$(BENCH_VENV)/.bench: pyproject.toml $(SOURCES)
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip --quiet --disable-pip-version-check install --upgrade 'pip>=25.1'
	$(BENCH_VENV)/bin/python -m pip --quiet --disable-pip-version-check install --force-reinstall --no-deps .
	$(BENCH_VENV)/bin/python -m pip --quiet --disable-pip-version-check install . --group bench
	touch $@

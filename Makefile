# `make demo` and `make test` set up all they need: a virtual environment, the Rust build, packages from PyPI.

#: PYTHON=python3.12    the Python that makes the environment
#: VENV=.venv-3.12      the environment, a folder
#: ARGS="..."           arguments of the program or of pytest
#: TORCH=1, ROUNDS=20, KILLS=100000, SECONDS=60: see CONTRIBUTING.md
PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .venv-bench
ASAN_VENV ?= .venv-asan
NUMPY1_VENV := $(BENCH_VENV)-numpy1
# TORCH=1 lets torch.multiprocessing take part: gigabytes of packages.
TORCH ?=
ROUNDS ?= 20
# How long `make fuzz` goes on, of each: until so many were killed, or for so many seconds if that is given.
KILLS ?= 100000
SECONDS ?=
OF ?= queues topics
BIN := $(VENV)/bin
ifneq ($(words $(VENV)),1)
$(error VENV is to be one name without spaces, not "$(VENV)")
endif
# What people have set for other Pythons is not for this one.
unexport PYTHONHOME PYTHONPATH

# Each recipe begins with what it needs, so that it is looked at anew each time: `$(READY) $(WITH_PACKAGE) GROUP...`.
ready_in = sh tools/ready.sh $(1) '$(PYTHON)' $(if $(filter file,$(origin PYTHON)),,--asked)
READY = $(call ready_in,$(VENV))
RUST = sh tools/rust.sh

# Of each exploration in the soak: there are about a hundred.
LOOM_SECONDS ?= 20
LOOM := RUSTFLAGS="--cfg loom" cargo test --package treequeues --lib --target-dir target/loom

# With the same features everywhere, so that nothing is built twice: the binaries that the Python tests run are there after `test-cargo`.
WHOLE_WORKSPACE := --workspace --all-features

# As shipped, with optimization: it steps through the very instructions.
KILL_POINTS := cargo run --release --package treequeues-kill-points --

.PHONY: help demo simulator weights camera test build-tests build-release soak kill-points fuzz asan tsan instructions recovery package bench bench-kills docs lint test-rust \
	test-cargo test-loom test-kill-points test-python clean
.DELETE_ON_ERROR:
# Two builds of one profile at a time only wait for each other; cargo and pytest use all cores by themselves.
.NOTPARALLEL:

help: ## This list.
	@awk -f tools/help.awk Makefile

demo: ## The main job: Atari actors to a learner, beside multiprocessing.Queue.
	@$(READY) --package demo
	$(BIN)/python examples/atari.py $(ARGS)

simulator: ## Python and Rust in one queue: a simulator in Rust, a learner in Python.
	@$(READY) --package demo
	cargo build --release --package treequeues-simulator
	$(BIN)/python examples/simulator.py $(ARGS)

weights: ## A learner publishes 100 MB of weights to Atari actors, which act on the newest.
	@$(READY) --package demo
	$(BIN)/python examples/weights.py $(ARGS)

camera: ## A camera, a display of the newest frame, and a recorder of all.
	@$(READY) --package demo
	$(BIN)/python examples/camera.py $(ARGS)

# The parts find all ready, once `build-release` has made the package.
test: ## All that must hold, in some 16 minutes on 2 cores from nothing.
	@$(READY) demo test docs
	@MAKE='$(MAKE)' $(BIN)/python -Es tools/parts.py READY=true

lint: ## Format, lints, types and documentation, warnings as errors.
	@$(READY) --package demo test
	cargo fmt --check
	cargo clippy --workspace --all-targets --all-features -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --all-features --no-deps --document-private-items
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	$(BIN)/python -m mypy.stubtest treequeues._core
	$(BIN)/python -m benchmarks.figures --check README.md
	cargo publish --dry-run --no-verify --allow-dirty --quiet $(PUBLISHED)

# Both may run at once: cargo has a lock for each profile.
build-tests: ## Of that: all that is compiled for tests.
	@$(RUST)
	cargo test $(WHOLE_WORKSPACE) --no-run

build-release: ## Of that: the package, and what tries kill points.
	@$(call ready_in,$(VENV)) --package demo test docs
	cargo build --release --package treequeues-kill-points

test-rust: test-cargo test-loom test-kill-points ## The part of `make test` that is in Rust.

test-cargo: ## Of that: the tests of all crates.
	@$(RUST)
	cargo test $(WHOLE_WORKSPACE)

test-loom: ## Of that: the interleavings of the ring's code.
	@$(RUST)
	$(LOOM) interleave

test-kill-points: ## Of that: each 61st kill point of each operation.
	@$(RUST)
	$(KILL_POINTS) --stride 61 --coarse-stride 301

# Half of the time the tests wait for processes and their deaths, so four go at a time on two processors.
test-python: ## The part of `make test` that is in Python; ARGS="tests/test_loans.py -k view" chooses.
	@$(READY) --package demo test docs
	cargo build --profile test $(WHOLE_WORKSPACE) --bins --tests
	$(BIN)/python -m pytest --numprocesses 4 --dist worksteal $(ARGS)

docs: ## The documentation's site, into site/; warnings are errors.
	@$(READY) docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "The documentation is built: open site/index.html"

kill-points: ## A process killed before each instruction of each operation, and stopped before each third; ARGS="--record FILE" keeps the counts.
	@$(RUST)
	$(KILL_POINTS) --coarse-stride 3 $(ARGS)

soak: kill-points fuzz ## The long part: all kill points, KILLS kills, the big models, ROUNDS rounds of hostile segments, kills and forks.
	@$(READY) --package test
	cargo test --release --package treequeues --test model --test names --test producers --test topic --test wake -- --ignored --nocapture --test-threads 1
	cargo test --release --package treequeues --lib laps::soak_ -- --ignored --nocapture
	LOOM_MAX_PREEMPTIONS=8 LOOM_MAX_DURATION=$(LOOM_SECONDS) $(LOOM) --release interleave
	TREEQUEUES_BATCH_KILLS=1000 $(BIN)/python -m pytest tests/processes/test_whole_batches.py
	TREEQUEUES_HOSTILE=$(ROUNDS) cargo test --release --package treequeues --lib hostile
	TREEQUEUES_HOST_KILLS=1000 $(BIN)/python -m pytest tests/hosts -k kills
	TREEQUEUES_OVERFLOW=1000000 $(BIN)/python -m pytest tests/processes/test_overflow_between_processes.py
	for round in $$(seq $(ROUNDS)); do \
		TREEQUEUES_KILLS=200 $(BIN)/python -m pytest $(addprefix tests/processes/test_,kill.py fork.py batches_and_kills.py named_queues.py) || exit 1; \
	done

fuzz: ## KILLS kills at random, or SECONDS of them; OF=topics ARGS="--seed 7 --epoch 3" plays an epoch again, --record FILE keeps the counts.
	@$(READY) --package test
	for of in $(OF); do \
		cargo run --release --package treequeues-fuzz -- --of $$of --python $(BIN)/python \
			$(if $(SECONDS),--for $(SECONDS),--kills $(KILLS)) $(ARGS) || exit 1; \
	done

asan: ## Loans and views under AddressSanitizer; needs a nightly toolchain and gcc's libasan.
	$(PYTHON) -m venv $(ASAN_VENV)
	$(ASAN_VENV)/bin/python -m pip --quiet install --upgrade 'pip>=25.1'
	$(ASAN_VENV)/bin/python -m pip --quiet install maturin numpy --group test
	RUSTUP_TOOLCHAIN=nightly RUSTFLAGS="-Zsanitizer=address" $(ASAN_VENV)/bin/maturin build --release \
		--target $$(rustc --print host-tuple) --target-dir target/asan --out target/asan/wheels
	$(ASAN_VENV)/bin/python -m pip --quiet install --force-reinstall --no-deps target/asan/wheels/*.whl
	LD_PRELOAD=$$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 $(ASAN_VENV)/bin/python -m pytest \
		$(addprefix tests/test_,loans.py loan_ends.py escaping_views.py held_views.py batches.py batch_loans.py many.py)

tsan: ## The tests with threads under ThreadSanitizer; needs a nightly toolchain with rust-src.
	RUSTFLAGS="-Zsanitizer=thread" TSAN_OPTIONS=halt_on_error=1 cargo +nightly test --package treequeues \
		-Zbuild-std --target $$(rustc --print host-tuple) --target-dir target/tsan --lib --test typed -- $(THREADED)

THREADED := tests::crowds tests::batch_oracle tests::holds tests::death tests::returns tests::laps::producers threads_share

PUBLISHED := $(addprefix --package ,treequeues-derive treequeues treequeues-cli treequeues-wire treequeues-relay)

package: ## What would be published of the crates: packed, and each built from its package.
	cargo publish --dry-run --allow-dirty $(PUBLISHED)

instructions: ## What the counters cost, in instructions; needs valgrind.
	@$(READY) --package test
	$(BIN)/python -m benchmarks.instructions $(ARGS)

recovery: ## From the kill of a holder until a blocked peer goes on; some ten minutes.
	@$(READY) --package test
	$(BIN)/python -m benchmarks.recovery $(ARGS)

bench: $(NUMPY1_VENV)/.bench ## Beside other queues: a record, tables, plots.
	@$(READY_TO_BENCH)
	$(BENCH_VENV)/bin/python -m benchmarks --python arrayqueues=$(NUMPY1_VENV)/bin/python $(ARGS)

bench-kills: $(NUMPY1_VENV)/.bench ## The same kill test on other queues; about half an hour.
	@$(READY_TO_BENCH)
	$(BENCH_VENV)/bin/python -m benchmarks.kills --python arrayqueues=$(NUMPY1_VENV)/bin/python $(ARGS)

clean: ## Everything that was built, and the environments: gone.
	cargo clean
	rm -rf site $(VENV) $(ASAN_VENV) $(BENCH_VENV) $(NUMPY1_VENV)

READY_TO_BENCH = $(call ready_in,$(BENCH_VENV)) --package bench $(if $(TORCH),bench-torch)

# For arrayqueues alone, whose row tells the reason where no such NumPy can be had.
$(NUMPY1_VENV)/.bench: pyproject.toml
	$(PYTHON) -m venv $(NUMPY1_VENV)
	$(NUMPY1_VENV)/bin/python -m pip --quiet --disable-pip-version-check install --upgrade 'pip>=25.1'
	-$(NUMPY1_VENV)/bin/python -m pip --quiet --disable-pip-version-check install --only-binary numpy --group bench-numpy1
	touch $@

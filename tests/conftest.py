"""Fixtures of the whole suite, and its two watchdogs.

A test that waits too long fails by pytest-timeout, and the run goes on. Should it wait inside a
call that does not even answer signals, the fault handler prints every thread's stack and ends the
run.
"""

import faulthandler
import os
import random
import tempfile
from pathlib import Path

import pytest

pytest.register_assert_rewrite("helpers")

from helpers import START_METHODS, Nursery  # noqa: E402

TEST_WATCHDOG_S = 180

# Processes that start anew print their stacks too when a watchdog aborts them.
os.environ["PYTHONFAULTHANDLER"] = "1"
# Where the machine is busy, processes take long to come, and many programs here take warnings for
# errors. What the warning of a lonely wait says, and when, has tests of its own, which ask for it.
os.environ.setdefault("TREEQUEUES_WARN_AFTER", "0")

_FIGURES = pytest.StashKey[list[str]]()
_STDERR = pytest.StashKey[int]()


def pytest_configure(config):
    config.stash[_FIGURES] = []
    # Taken before pytest captures the descriptor, so that the last words are seen.
    config.stash[_STDERR] = os.dup(2)
    # Forking beside threads is what some tests are about.
    config.addinivalue_line(
        "filterwarnings", "ignore:This process .* is multi-threaded:DeprecationWarning"
    )


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_WATCHDOG_S))


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[_FIGURES]:
        terminalreporter.section("figures")
        for line in config.stash[_FIGURES]:
            terminalreporter.line(line)


@pytest.fixture(autouse=True)
def last_watchdog(request):
    marker = request.node.get_closest_marker("timeout")
    seconds = marker.args[0] if marker and marker.args else TEST_WATCHDOG_S
    faulthandler.dump_traceback_later(seconds + 60, exit=True, file=request.config.stash[_STDERR])
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def nursery():
    """Processes under the watchdog; whatever is left of them at the end of the test is killed."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def queue_folder(monkeypatch):
    """A folder of named queues for this test, here and in all processes that it starts."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="treequeues-test-") as folder:
        monkeypatch.setenv("TREEQUEUES_DIR", folder)
        yield Path(folder)


@pytest.fixture(params=START_METHODS)
def start_method(request):
    return request.param


@pytest.fixture
def figure(request):
    """Report a measured figure: it is printed after the run, and judged by people."""

    def report(text):
        request.config.stash[_FIGURES].append(f"{request.node.name}: {text}")

    return report


@pytest.fixture
def rng(request):
    """Random numbers whose seed is printed with a failure; TREEQUEUES_TEST_SEED repeats them."""
    seed = int(os.environ.get("TREEQUEUES_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"TREEQUEUES_TEST_SEED={seed}")
    return random.Random(seed)

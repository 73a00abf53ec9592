"""The simulator's example learns, counts and measures; and whoever dies, the other side ends.

The Rust side is built by `make test-python`, with fewer optimizations than the example has.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from helpers import ROOT, WATCHDOG_S, die_with_parent, rust_program, wait_until

from treequeues import TreeQueue

EXAMPLES = ROOT / "examples"
ENDLESS = ("--generations", "1000000")
# Of commands that ask for more than anybody takes.
NO_END = 10**9


@contextlib.contextmanager
def running_learner(*options: str, warnings: str = "default") -> Iterator[subprocess.Popen[str]]:
    """The learner, which starts the simulator; neither is left after the block."""
    simulator = ("--binary", str(rust_program("simulator")))
    learner = subprocess.Popen(
        [sys.executable, "-W", warnings, str(EXAMPLES / "simulator.py"), *simulator, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield learner
        wait_until(lambda: simulators_now() == [], "the simulator ends by itself")
    finally:
        learner.kill()
        for simulator in simulators_now():
            with contextlib.suppress(ProcessLookupError):
                os.kill(simulator, signal.SIGKILL)
        learner.communicate(timeout=WATCHDOG_S)


def simulators_now() -> list[int]:
    """The simulators of this test: those that are told this test's folder of queues."""
    folder = f"TREEQUEUES_DIR={os.environ['TREEQUEUES_DIR']}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # It ended while we looked, or is somebody else's.
            program = (process / "cmdline").read_bytes().split(b"\0")[0]
            environment = (process / "environ").read_bytes().split(b"\0")
            if program == bytes(rust_program("simulator")) and folder in environment:
                found.append(int(process.name))
    return found


def wait_for_transitions(learner: subprocess.Popen[str]) -> int:
    """Wait until both are at work, and return the simulator's process."""

    def both_work() -> bool:
        assert learner.poll() is None, learner.communicate()
        with (
            contextlib.suppress(FileNotFoundError),
            TreeQueue.attach("pendulums-transitions") as it,
        ):
            return it.stats().counters.gets > 1000
        return False

    wait_until(both_work, "transitions come")
    [simulator] = simulators_now()
    return simulator


def test_the_reward_rises_and_every_transition_is_counted(queue_folder: Path) -> None:
    # 8 generations of 32 pendulums with 400 steps each.
    options = ("--generations", "8", "--pendulums", "32", "--steps", "400", "--rounds", "300")
    with running_learner(*options, warnings="error") as learner:
        output, errors = learner.communicate(timeout=WATCHDOG_S)
    assert (learner.returncode, errors) == (0, "")
    assert "102,400 transitions received: no step missing, none twice" in output
    first, last = map(float, re.search(r"reward ([\d.]+) -> ([\d.]+)", output).groups())
    assert first < 0.2 and last > 0.5, output
    assert re.search(r"round trip, median of 300 +│ +[\d.]+ us", output), output
    assert list(queue_folder.iterdir()) == []


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_a_killed_simulator_is_told_and_ends_the_learner(
    queue_folder: Path, seconds: float
) -> None:
    with running_learner(*ENDLESS) as learner:
        simulator = wait_for_transitions(learner)
        time.sleep(seconds)
        os.kill(simulator, signal.SIGKILL)
        _, errors = learner.communicate(timeout=WATCHDOG_S)
    assert learner.returncode == 1
    assert re.fullmatch(r"the simulator died with exit code -9: [\d,]+ transitions.*\n", errors)
    assert list(queue_folder.iterdir()) == []


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_a_killed_learner_is_told_and_ends_the_simulator(
    queue_folder: Path, seconds: float
) -> None:
    with running_learner(*ENDLESS) as learner:
        wait_for_transitions(learner)
        time.sleep(seconds)
        learner.kill()
        # It comes from the simulator, which has the same standard error and closes it last.
        assert learner.stderr.read() == "simulator: the learner is gone\n"
        wait_until(lambda: simulators_now() == [], "the simulator ends by itself")
        assert list(queue_folder.iterdir()) == []


def test_ctrl_c_ends_both(queue_folder: Path) -> None:
    # Between a borrow and its block, Ctrl-C leaves a loan to die, of which a warning would tell.
    with running_learner(*ENDLESS, warnings="ignore") as learner:
        wait_for_transitions(learner)
        learner.send_signal(signal.SIGINT)
        _, errors = learner.communicate(timeout=WATCHDOG_S)
    assert learner.returncode == 128 + signal.SIGINT
    assert errors == "Interrupted. The simulator is stopped.\n"
    assert list(queue_folder.iterdir()) == []


def test_a_name_that_is_in_use_is_one_clear_line(queue_folder: Path) -> None:
    with TreeQueue(0.0, 1, name="pendulums-commands"), running_learner() as learner:
        _, errors = learner.communicate(timeout=WATCHDOG_S)
    assert learner.returncode == 1
    assert re.fullmatch(r".*'?pendulums-commands'?.* exists.*; or take another --name\n", errors)


# --- The simulator without the learner ------------------------------------------------------------


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example as a module, to call its parts."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("simulator")


@pytest.fixture
def make_simulator(example: ModuleType, queue_folder: Path) -> Any:
    return lambda: example.Simulator([str(rust_program("simulator"))], "test", 4)


def test_a_simulator_that_is_killed_loses_nothing_that_it_committed(
    make_simulator: Any, example: ModuleType, rng: Any, queue_folder: Path
) -> None:
    for _ in range(10):
        with make_simulator() as simulator:
            simulator.ask([example.command(7, example.OFF, angle=0.05, steps=NO_END)])
            first = simulator.transitions.get_batch(64, timeout=WATCHDOG_S)
            steps = [first["step"]]
            # It fills the queue meanwhile, or is stopped by the kill in the middle of a slot.
            time.sleep(rng.random() * 0.004)
            simulator.process.kill()
            simulator.process.wait(WATCHDOG_S)
            left = simulator.transitions.qsize()
            if left:
                rest = simulator.transitions.get_batch(left, timeout=WATCHDOG_S)
                steps.append(rest["step"])
                assert (rest["number"] == 7).all()
                assert (rest["frame"].max(axis=(1, 2)) == 255).all(), "each has its pendulum"
            steps = np.concatenate(steps)
            assert np.array_equal(steps, np.arange(len(steps))), "none is missing, none torn"
            # What a process that was killed had just done may not be counted, by one.
            assert len(steps) - simulator.transitions.stats().counters.puts in (0, 1)
            # All slots can be filled again: the one that it held has come back.
            full = {
                name: np.zeros((example.MAXSIZE, *leaf.shape[1:]), leaf.dtype)
                for name, leaf in first.items()
            }
            simulator.transitions.put_batch(full, timeout=WATCHDOG_S)
    assert list(queue_folder.iterdir()) == []


def test_the_controller_in_python_is_the_one_in_rust(
    make_simulator: Any, example: ModuleType
) -> None:
    gains = example.make_gains(np.array([10.0, 10.0, 6.0, 5.0, 7.0, 45.0, 10.0]))
    with make_simulator() as simulator:
        transition, _ = simulator.step(example.command(0, gains, angle=0.1))
        stood = 0
        for number in range(1, 600):
            wanted = example.force_for(gains, transition["state"])
            transition, _ = simulator.step(example.command(number, gains))
            assert transition["force"] == pytest.approx(np.clip(wanted, -10, 10), abs=1e-3)
            stood += transition["reward"] > 0.5
        assert stood > 100, "both of its parts were at work"


def test_a_check_finds_what_is_missing_twice_or_out_of_order(example: ModuleType) -> None:
    def batch(steps: list[int]) -> Any:
        count = len(steps)
        return {
            "number": np.zeros(count, np.int64),
            "step": np.array(steps),
            "is_last": np.array(steps) == 9,
            "reward": np.ones(count, np.float32),
            "frame": np.zeros((count, 32, 64), np.uint8),
        }

    generation = example.Generation(0, 1, 10)
    generation.add(batch([0, 1, 2]))
    for wrong in ([4, 5], [2, 3], [4, 3], [3, 5]):
        with pytest.raises(example.CheckFailed):
            generation.add(batch(wrong))
    generation.add(batch([3, 4, 5, 6, 7, 8, 9]))
    assert generation.rewards == pytest.approx(1)
    early_end = example.Generation(0, 1, 10)
    with pytest.raises(example.CheckFailed, match="a wrong end"):
        early_end.add({**batch([0, 1]), "is_last": np.array([False, True])})


def test_a_simulator_whose_queues_hold_something_else_says_so(queue_folder: Path) -> None:
    with TreeQueue({"number": 0}, 1, name="c"), TreeQueue({"number": 0}, 1, name="t"):
        refused = subprocess.run(
            [rust_program("simulator"), "c", "t"],
            capture_output=True,
            text=True,
            timeout=WATCHDOG_S,
            preexec_fn=die_with_parent,
        )
    assert refused.returncode == 1
    assert re.search(r"gains\.balance +float64 \(4,\) +-", refused.stderr), refused.stderr
    assert "Traceback" not in refused.stderr and "panicked" not in refused.stderr

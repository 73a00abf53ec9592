"""The Atari example does its whole job, and ends well when something else ends badly."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
ENDLESS = ("--steps", "1000000", "--start-method", "fork")  # Fork: no processes but the actors.
# Seconds after the actors' start. That they differ matters, how long they take does not.
at_each_moment = pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["loading", "playing"])
WATCHDOG = 120  # Seconds. Generous: it only keeps a hanging demo from hanging the tests.


@contextlib.contextmanager
def running_demo(*options: str) -> Iterator[subprocess.Popen[str]]:
    """The demo in a process group of its own, which is empty again after the block."""
    demo = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "atari.py"), "--actors", "2", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield demo
        wait_until_gone(demo)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(demo.pid, signal.SIGKILL)
        demo.communicate(timeout=WATCHDOG)


def members(group: int) -> list[int]:
    """The processes of a group, without those that are dead and only wait to be reaped."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # It ended while we looked.
            # After the name, which is in parentheses and may hold anything: state, parent, group.
            state, _, of_group = (directory / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(of_group) == group and state != "Z":
                found.append(int(directory.name))
    return found


def wait_until_gone(demo: subprocess.Popen[str]) -> None:
    """Wait until the demo and all that it started have ended, by themselves."""
    deadline = time.monotonic() + WATCHDOG
    while left := members(demo.pid):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.02)


def wait_for_actors(demo: subprocess.Popen[str]) -> list[int]:
    """Wait until the demo has both actors, and return their process ids."""
    deadline = time.monotonic() + WATCHDOG
    while time.monotonic() < deadline:
        assert demo.poll() is None, demo.communicate()
        actors = [pid for pid in members(demo.pid) if pid != demo.pid]
        if len(actors) == 2:
            return actors
        time.sleep(0.01)
    raise AssertionError("the demo started no actors")


@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
def test_demo_checks_every_transition_and_compares_both_queues(start_method: str) -> None:
    with running_demo("--steps", "50", "--start-method", start_method) as demo:
        output, errors = demo.communicate(timeout=WATCHDOG)
        assert demo.returncode == 0, errors
        assert errors == ""
        # 2 actors of 50 steps, for 2 kinds of work and 2 kinds of queue.
        assert "400 transitions received" in output
        for work in ("playing", "recorded"):
            row = next(line for line in output.splitlines() if line.startswith(f"│ {work}"))
            assert re.fullmatch(r"│ \w+ +│ +[\d,]+ │ +[\d,]+ │ +[\d.]+x │", row), row


@at_each_moment
def test_demo_says_which_actor_died_instead_of_hanging(seconds: float) -> None:
    with running_demo(*ENDLESS) as demo:
        actor, _ = wait_for_actors(demo)
        time.sleep(seconds)
        os.kill(actor, signal.SIGKILL)
        _, errors = demo.communicate(timeout=WATCHDOG)
        assert demo.returncode == 1
        assert "died with exit code -9" in errors
        assert "Traceback" not in errors


@at_each_moment
def test_ctrl_c_ends_the_demo_and_all_of_its_actors(seconds: float) -> None:
    with running_demo(*ENDLESS) as demo:
        wait_for_actors(demo)
        time.sleep(seconds)
        os.killpg(demo.pid, signal.SIGINT)  # As a terminal does: to all of them.
        _, errors = demo.communicate(timeout=WATCHDOG)
        assert demo.returncode == 128 + signal.SIGINT
        assert errors == "Interrupted. All actors are stopped.\n"


@at_each_moment
def test_killed_learner_leaves_no_actor_behind(seconds: float) -> None:
    with running_demo(*ENDLESS) as demo:
        wait_for_actors(demo)
        time.sleep(seconds)
        demo.kill()
        demo.wait(timeout=WATCHDOG)  # Its actors notice, and `running_demo` waits until they did.


def test_unknown_game_is_one_clear_line() -> None:
    with running_demo("--env", "ALE/Pongo-v5") as demo:
        _, errors = demo.communicate(timeout=WATCHDOG)
        assert demo.returncode == 1
        assert "Did you mean: `Pong`?" in errors
        assert "Traceback" not in errors


def test_quickstart_prints_what_was_put() -> None:
    quickstart = [sys.executable, str(EXAMPLES / "quickstart.py")]
    done = subprocess.run(quickstart, capture_output=True, text=True, timeout=WATCHDOG)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Step(observation=array([[0., 1., 2.],")
    assert done.stdout.rstrip().endswith("reward=array(0.5, dtype=float32))")

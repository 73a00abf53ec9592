"""The Atari example does its whole job, and ends well when something else ends badly."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
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
        # Over 2 kinds of queue, 2 actors of 50 steps of a game and of 4 times 50 of a recording.
        assert "1,000 transitions received" in output
        for work in ("whole job", "transport"):
            row = next(line for line in output.splitlines() if line.startswith(f"│ {work}"))
            assert re.fullmatch(r"│ [\w ]+ │ +[\d,]+ │ +[\d,]+ │ +[\d.]+x │", row), row


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


@pytest.mark.parametrize(
    ("game", "reason"),
    [("ALE/Pongo-v5", "Did you mean: `Pong`?"), ("CartPole-v1", "not an Atari game")],
)
def test_game_that_cannot_be_played_is_one_clear_line(game: str, reason: str) -> None:
    with running_demo("--env", game) as demo:
        _, errors = demo.communicate(timeout=WATCHDOG)
        assert demo.returncode == 1
        assert reason in errors
        assert len(errors.splitlines()) == 1


@pytest.fixture
def atari(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example as a module, to call its parts."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("atari")


def make_batch(atari: ModuleType) -> dict[str, Any]:
    """What two actors may have put: each has come to its step 7, and goes on in turn."""
    frame = np.random.default_rng(0).integers(256, size=(6, 2, 4, 3), dtype=np.uint8)
    info = {
        "actor": np.array([0, 1, 0, 1, 1, 0]),
        "step": np.array([7, 7, 8, 8, 9, 9]),
        "checksum": np.array([atari.checksum(image) for image in frame]),
    }
    return {"frame": frame, "info": info}


def test_check_of_a_good_batch_counts_the_steps_of_each_actor(atari: ModuleType) -> None:
    next_steps = [7, 7]
    atari.check(make_batch(atari), next_steps)
    assert next_steps == [10, 10]


def lose_a_step(batch: dict[str, Any]) -> None:
    batch["info"]["step"][2] = 9
    batch["info"]["step"][5] = 10


def repeat_a_step(batch: dict[str, Any]) -> None:
    batch["info"]["step"][4] = 8


def swap_two_steps(batch: dict[str, Any]) -> None:
    batch["info"]["step"][[2, 5]] = batch["info"]["step"][[5, 2]]


def swap_two_frames(batch: dict[str, Any]) -> None:
    batch["frame"][[0, 1]] = batch["frame"][[1, 0]]


def change_one_byte(batch: dict[str, Any]) -> None:
    batch["frame"][3, 1, 2, 0] ^= 1


@pytest.mark.parametrize(
    "damage", [lose_a_step, repeat_a_step, swap_two_steps, swap_two_frames, change_one_byte]
)
def test_check_finds(atari: ModuleType, damage: Callable[[dict[str, Any]], None]) -> None:
    batch = make_batch(atari)
    damage(batch)
    with pytest.raises(atari.CheckFailed, match=r"actor \d"):
        atari.check(batch, [7, 7])


def test_check_finds_steps_that_were_lost_between_two_batches(atari: ModuleType) -> None:
    with pytest.raises(atari.CheckFailed, match=r"actor 1: expected"):
        atari.check(make_batch(atari), [7, 6])

"""The command `treequeues`, as the package starts it. What it does is tested in its own crate."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import sysconfig
import termios
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import WATCHDOG_S

import treequeues

MODULE = [sys.executable, "-m", "treequeues"]
SCRIPT = [str(Path(sysconfig.get_path("scripts")) / "treequeues")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    tmp_path.chmod(0o700)
    monkeypatch.setenv("TREEQUEUES_DIR", str(tmp_path))
    return tmp_path


def run(*args, program=MODULE):
    return subprocess.run(
        [*program, *args], capture_output=True, text=True, timeout=WATCHDOG_S, check=False
    )


@pytest.mark.parametrize("program", [MODULE, SCRIPT], ids=["module", "script"])
def test_the_package_has_the_command(folder, program):
    done = run("--version", program=program)
    assert (done.returncode, done.stdout) == (0, f"treequeues {treequeues.__version__}\n")


def test_exit_codes_and_errors_come_through(folder):
    assert run("frobnicate").returncode == 2
    done = run("inspect", "nothing")
    assert done.returncode == 1
    assert done.stderr.startswith('treequeues: nothing is named "nothing"')


def test_a_queue_of_this_process_is_seen(folder):
    tree = {"obs": np.zeros((2, 3), np.uint8), "reward": 0.5}
    queue = treequeues.TreeQueue(tree, 4, name="actors")
    queue.put(tree)
    report = json.loads(run("inspect", "actors", "--json").stdout)
    assert (report["state"], report["items"], report["capacity"]) == ("live", 1, 4)
    assert report["participants"][0]["pid"] == os.getpid()
    assert [leaf["path"] for leaf in report["leaves"]] == ["obs", "reward"]
    peeked = json.loads(run("peek", "actors", "--json").stdout)
    assert peeked["leaves"][1]["mean"] == 0.5


def test_a_reader_that_has_gone_ends_it_quietly(folder):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write) as closed:
        done = subprocess.run(
            [*MODULE, "ls"], stdout=closed, stderr=subprocess.PIPE, timeout=WATCHDOG_S, check=False
        )
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


def test_the_demo_starts_itself_again_and_answers_ctrl_c(folder):
    demo = subprocess.Popen([*MODULE, "demo"], stdout=subprocess.PIPE, text=True)
    try:
        assert "treequeues top" in demo.stdout.readline()
        assert "frames a second" in demo.stdout.readline()
        report = json.loads(run("inspect", "demo-frames", "--json").stdout)
        assert len(report["participants"]) > 1
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=WATCHDOG_S)
    finally:
        demo.kill()
        demo.wait()
    assert demo.returncode == 0
    assert rest.endswith("Ended: its processes and its queues are gone.\n")
    assert list(folder.iterdir()) == []


class Terminal:
    """A terminal of 80 by 24, and a command in it."""

    def __init__(self, *args):
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        self.modes = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.process = subprocess.Popen(
            [*MODULE, *args], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        self.seen = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.hang_up()

    def hang_up(self):
        for end in {self._ours, self._theirs} - {None}:
            os.close(end)
        self._ours = self._theirs = None

    def wait_for(self, text):
        deadline = time.monotonic() + WATCHDOG_S
        while text not in self.seen:
            assert time.monotonic() < deadline, (text, self.seen)
            if select.select([self._ours], [], [], 0.1)[0]:
                self.seen += os.read(self._ours, 65536)

    def press(self, keys):
        os.write(self._ours, keys)

    def assert_restored(self):
        self.wait_for(LEAVE_SCREEN)
        assert self.process.wait(timeout=WATCHDOG_S) == 0
        assert termios.tcgetattr(self._theirs) == self.modes


ENTER_SCREEN, LEAVE_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


@pytest.mark.parametrize("key", [b"q", b"\x1b", b"\x03"], ids=["q", "Esc", "Ctrl-C"])
def test_top_gives_the_terminal_back_at_a_key(folder, key):
    queue = treequeues.ArrayQueue(np.zeros(3), 4, name="actors")
    with Terminal("top", "--interval", "0.05") as terminal:
        terminal.wait_for(ENTER_SCREEN)
        terminal.wait_for(b"actors")
        terminal.press(key)
        terminal.assert_restored()
    assert queue.maxsize == 4


def test_top_gives_the_terminal_back_at_sigterm(folder):
    with Terminal("top") as terminal:
        # Only what changes on the screen is written, and spaces do not.
        terminal.wait_for(b"named")
        terminal.process.terminate()
        terminal.assert_restored()


def test_top_ends_with_its_terminal(folder):
    """Also where nobody signals that, as under `nohup`: it must not look for keys for ever."""
    with Terminal("top") as terminal:
        terminal.wait_for(b"named")
        terminal.hang_up()
        assert terminal.process.wait(timeout=WATCHDOG_S) != 0

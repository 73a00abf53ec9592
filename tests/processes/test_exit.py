"""Programs that end while threads of theirs still wait: at once, quietly, and with their own exit
code."""

import pickle
import signal
import subprocess
import sys

import pytest
from helpers import WATCHDOG_S

from treequeues import TreeQueue

EXITS = 20

# Three daemon consumers and a producer, all blocked for ever when the main thread ends.
BLOCKED = """
import sys, threading, time
from treequeues import TreeQueue

empty, full = TreeQueue(0, maxsize=1), TreeQueue(0, maxsize=1)
full.put(1)
threads = [threading.Thread(target=empty.get, daemon=True) for _ in range(3)]
threads.append(threading.Thread(target=full.put, args=(2,), daemon=True))
for thread in threads:
    thread.start()
# Waits look up every 500 ms: the end falls anywhere in between.
time.sleep(float(sys.argv[1]))
"""

# What makes the end of the interpreter last longer than a sleeper's longest sleep.
SLOW_END = """
class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(0.7)

sys.modules["kept to the last"] = Slow()
"""

# Waits that time out, and items that come and go, while the interpreter ends.
BUSY = """
def try_to_get():
    from queue import Empty
    while True:
        try:
            empty.get(timeout=0.001)
        except Empty:
            pass

def carry(queue):
    while True:
        queue.put(3)
        queue.get()

threads = [threading.Thread(target=try_to_get, daemon=True) for _ in range(2)]
threads += [threading.Thread(target=carry, args=(TreeQueue(0, 1),), daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
time.sleep(0.05)
"""

# The main thread says how it went.
RAISES = """
sys.exit(7)
"""


def run(program, seconds):
    """The exit code of `program`, and what it said."""
    ended = subprocess.run(
        [sys.executable, "-c", program, str(seconds)],
        timeout=WATCHDOG_S,
        capture_output=True,
        text=True,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_daemon_threads_that_wait_do_not_disturb_the_exit():
    for number in range(EXITS):
        assert run(BLOCKED, 0.02 + 0.5 * number / EXITS) == (0, "", "")


@pytest.mark.parametrize("more", [SLOW_END, BUSY, BUSY + SLOW_END], ids=["slow", "busy", "both"])
def test_daemon_threads_that_look_up_while_the_interpreter_ends_do_not_disturb_it(more):
    for number in range(0, EXITS, 4):
        assert run(BLOCKED + more, 0.02 + 0.5 * number / EXITS) == (0, "", "")


def test_the_exit_code_stays_the_programs_own():
    assert run(BLOCKED + SLOW_END + RAISES, 0.05) == (7, "", "")


INTERRUPTED = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
os.kill(os.getpid(), signal.SIGINT)
full.put(4)
"""


def test_ctrl_c_ends_a_program_whose_daemon_threads_wait():
    code, _, said = run(BLOCKED + SLOW_END + INTERRUPTED, 0.05)
    assert code == -signal.SIGINT
    assert said.endswith("KeyboardInterrupt\n")
    assert "panicked" not in said


# The main thread itself calls while it finalizes the interpreter.
CALLS_AT_THE_END = """
import sys
import numpy as np
from treequeues import TreeQueue

class Last:
    def __init__(self):
        self.empty, self.full = TreeQueue(np.zeros(3), 1), TreeQueue(np.zeros(3), 1)
        self.full.put(np.ones(3))

    def __del__(self, write=sys.stdout.write, flush=sys.stdout.flush, ones=np.ones(3)):
        for call in (
            lambda: self.empty.get(timeout=0.05),
            lambda: self.empty.borrow(timeout=0.05),
            lambda: self.empty.get(block=False),
            lambda: self.full.put(ones, timeout=0.05),
            lambda: self.full.put(ones, block=False),
            lambda: self.full.get().tolist(),
        ):
            try:
                write(str(call()) + "\\n")
            except Exception as error:
                write(type(error).__name__ + "\\n")
        flush()

sys.modules["kept to the last"] = Last()
"""


def test_the_main_thread_may_wait_while_it_finalizes_the_interpreter():
    code, said, errors = run(CALLS_AT_THE_END, 0)
    assert (code, errors) == (0, "")
    assert said.split("\n") == ["Empty", "Empty", "Empty", "Full", "Full", "[1.0, 1.0, 1.0]", ""]


# Consumers of a queue that other processes go on with.
CONSUMERS = """
import pickle, sys, threading, time
from treequeues import TreeQueue

queue = pickle.load(sys.stdin.buffer)
for _ in range(3):
    threading.Thread(target=queue.get, daemon=True).start()
time.sleep(0.05)
"""


def test_threads_that_wait_at_the_exit_take_no_item_with_them():
    with TreeQueue(0, maxsize=4) as queue:
        for number in range(5):
            subprocess.run(
                [sys.executable, "-c", CONSUMERS + SLOW_END],
                input=pickle.dumps(queue),
                timeout=WATCHDOG_S,
                check=True,
            )
            queue.put(number)
            assert queue.get(timeout=WATCHDOG_S) == number

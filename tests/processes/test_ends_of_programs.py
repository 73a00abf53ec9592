"""Programs that end while daemonic processes and threads of theirs are in the middle of calls, and
exit handlers that still put and get.

`multiprocessing` kills daemonic processes when their parent ends. What they held comes back to the
others, and a named queue's file goes all the same, since the parent is the last to leave.
"""

import os
import subprocess
import sys

import pytest
from helpers import WATCHDOG_S, drain

from treequeues import TreeQueue

# Its own queue, and the test's; processes that wait and hold in both when the main thread ends.
DAEMONS = """
import multiprocessing, sys, threading, time
from treequeues import TreeQueue

def begin(ready):
    ready.put(0)

def wait_for_an_item(own, shared, ready):
    begin(ready)
    own.get()

def wait_for_a_batch(own, shared, ready):
    begin(ready)
    own.get_batch(2)

def wait_for_a_slot(own, shared, ready):
    with shared.borrow() as loan, shared.reserve() as writing:
        begin(ready)
        while True:
            own.put(1)
            own.put(2)
            own.reserve_batch(2).abort()

def wait_in_a_thread(own, shared, ready):
    loan = shared.borrow()
    threading.Thread(target=own.get_batch, args=(2,), daemon=True).start()
    begin(ready)
    time.sleep(1000)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    shared = TreeQueue.attach("shared")
    # Two items are never in it, so that those who want two wait for ever.
    own = TreeQueue(0, maxsize=2, name="own")
    ready = TreeQueue(0, maxsize=1)
    works = [wait_for_an_item, wait_for_a_batch, wait_for_a_slot, wait_in_a_thread]
    for work in works:
        arguments = (own, shared, ready)
        context.Process(target=work, args=arguments, daemon=True).start()
    for _ in works:
        ready.get(timeout=60)
    time.sleep(0.05)
"""

# With what may be going on in threads meanwhile.
HANDLERS = """
import atexit, threading, time
from treequeues import TreeQueue

shared = TreeQueue.attach("shared")
own = TreeQueue(0, maxsize=1, name="own")

@atexit.register
def say_goodbye():
    with shared.borrow() as loan:
        assert int(loan.tree) == 1
    assert shared.get() == 2
    shared.put(7)
    with shared.reserve() as loan:
        loan.tree[...] = 8
    shared.put_many([9, 10])
    for number in range(3):
        # Whatever the threads take and put, this one ends.
        try:
            own.put(number, timeout=0.05)
            own.get(timeout=0.05)
        except Exception:
            pass

def put_and_get():
    while True:
        own.put(3)
        own.get()

for call in (own.get, put_and_get, put_and_get, lambda: own.get_batch(1)):
    threading.Thread(target=call, daemon=True).start()
time.sleep(0.05)
"""


def run(program, *arguments, loses_items=False):
    """Run a program that says nothing; but for a warning, if it ends with items in a queue."""
    warnings = ["-W", "error"] + ["-W", "ignore::ResourceWarning"] * loses_items
    ended = subprocess.run(
        [sys.executable, *warnings, str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.fixture
def shared(queue_folder):
    with TreeQueue(0, maxsize=6, name="shared") as queue:
        for number in (1, 2, 3):
            queue.put(number)
        yield queue


def test_daemonic_processes_that_wait_and_hold_leave_everything(
    shared, queue_folder, tmp_path, start_method
):
    program = tmp_path / "program.py"
    program.write_text(DAEMONS)
    run(program, start_method, loses_items=True)
    assert os.listdir(queue_folder) == ["shared"]
    assert sorted(drain(shared)) == [1, 2, 3]
    assert shared.stats().participants == 1
    shared.put_many(range(6), block=False)
    assert shared.get_many(6) == list(range(6))


def test_exit_handlers_put_and_get_beside_daemon_threads(shared, queue_folder, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(HANDLERS)
    for _ in range(4):
        run(program, loses_items=True)
        assert os.listdir(queue_folder) == ["shared"]
        assert drain(shared, 0.2) == [3, 7, 8, 9, 10]
        assert shared.stats().participants == 1
        shared.put_many([1, 2, 3], block=False)


# What keeps a queue although it is closed.
STILL_HELD = {
    "a thread that waits": "threading.Thread(target=own.get, daemon=True).start()",
    "a thread that waits for a batch": (
        "threading.Thread(target=own.get_batch, args=(2,), daemon=True).start()"
    ),
    "a reserve": "loan = own.reserve()",
    "a view": "own.put(1); loan = own.borrow(); view = loan.tree; loan.release()",
    "nothing": "",
}

STILL_HOLDING = """
import os, threading, time
from treequeues import TreeQueue

shared = TreeQueue.attach("shared")
own = TreeQueue(0, maxsize=2, name="own")
kept = TreeQueue(0, maxsize=2, name="kept", keep=True)
for queue in (shared, kept):
    threading.Thread(target=queue.get_batch, args=(2, ), kwargs={{"min": 2}}, daemon=True).start()
{held}
time.sleep(0.02)
"""


@pytest.mark.parametrize("held", STILL_HELD)
def test_names_go_with_a_program_that_ends_in_the_middle(queue_folder, tmp_path, held):
    program = tmp_path / "program.py"
    program.write_text(STILL_HOLDING.format(held=STILL_HELD[held]))
    with TreeQueue(0, maxsize=6, name="shared") as shared:
        run(program)
        # Neither what others have, nor what is to be kept.
        assert sorted(os.listdir(queue_folder)) == ["kept", "shared"]
        with TreeQueue.attach("shared") as again:
            again.put(4)
        assert shared.get() == 4
        TreeQueue.attach("kept").unlink()


# A child that has nothing of multiprocessing's, and ends as programs do.
BARE_FORK = """
import os, sys
from treequeues import TreeQueue

inherited = TreeQueue(0, maxsize=2, name="inherited")
pid = os.fork()
if pid == 0:
    inherited.put(1)
    own = TreeQueue(0, maxsize=2, name="own")
    own.put(1)
    sys.exit()
os.waitpid(pid, 0)
assert os.listdir(os.environ["TREEQUEUES_DIR"]) == ["inherited"]
assert inherited.get() == 1
"""


def test_a_child_of_a_bare_fork_leaves_its_queues_too(queue_folder, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(BARE_FORK)
    run(program, loses_items=True)
    assert os.listdir(queue_folder) == []

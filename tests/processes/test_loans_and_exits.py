"""Programs that end with loans open and views alive: at once, with their own exit code, and without
a word but the ResourceWarning for an item that was borrowed and never released.

Each program is run as people run theirs, with the checks of Python's development mode, and with
warnings as errors.
"""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import WATCHDOG_S, drain
from loan_cases import assert_capacity, make_item, number_in

from treequeues import TreeQueue

WAYS = {"plain": [], "dev": ["-X", "dev"], "errors": ["-W", "error"]}
every_way = pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)

# Something to lend, and three items of it.
OPENING = """
import gc, sys, threading, warnings
import numpy as np
import treequeues
from treequeues import TreeQueue

queue = TreeQueue({"frame": np.zeros((100, 100)), "reward": 0.0}, maxsize=8)
for number in range(3):
    queue.put({"frame": np.full((100, 100), float(number)), "reward": float(number)})
"""

QUIET = {
    "a reserve in a global": """
loan = queue.reserve()
""",
    "a reserve and views of it in globals": """
loan = queue.reserve()
tree = loan.tree
view = tree["frame"][1:]
""",
    "views of a released item in globals": """
with queue.borrow() as loan:
    tree = loan.tree
view = tree["frame"].T
memory = memoryview(tree["frame"])
exported = np.from_dlpack(view) if np.lib.NumpyVersion(np.__version__) >= "2.1.0" else view
""",
    "views of an aborted reserve in globals": """
loan = queue.reserve()
tree = loan.tree
loan.abort()
""",
    "views of a given back item in globals": """
loan = queue.borrow()
tree = loan.tree
loan.give_back()
""",
    "views of a published item in globals": """
warnings.simplefilter("ignore", treequeues.HeldViewWarning)
with queue.reserve() as loan:
    tree = loan.tree
""",
    "views after close": """
with queue.borrow() as loan:
    tree = loan.tree
writing = queue.reserve()
queue.close()
""",
    "views in a cycle": """
class Node: pass
node = Node()
node.me = node
with queue.borrow() as loan:
    node.tree = loan.tree
node.reserve = queue.reserve()
gc.disable()
del node, loan
""",
    "views kept to the last": """
class Last:
    def __del__(self):
        # NumPy itself can do little more by now than look at an element.
        assert self.tree["frame"][50, 50] == 0
last = Last()
with queue.borrow() as loan:
    last.tree = loan.tree
sys.modules["kept to the last"] = last
del last, loan
""",
    "views in a daemon thread that waits": """
def wait():
    with queue.borrow() as loan:
        tree = loan.tree
    held = [queue.reserve() for _ in range(queue.stats().free)]
    ready.set()
    queue.reserve()
ready = threading.Event()
warnings.simplefilter("ignore", treequeues.HeldViewWarning)
threading.Thread(target=wait, daemon=True).start()
ready.wait()
""",
    "a batch reserve in a global, and views of a batch": """
with queue.borrow_batch(3, min=1) as loan:
    batch = loan.tree
reserving = queue.reserve_batch(2)
""",
    "a generator in a block": """
def items():
    while True:
        with queue.borrow() as loan:
            yield loan.tree["reward"]
generator = items()
next(generator)
""",
    "an exit in a block": """
with queue.borrow() as loan, queue.reserve() as writing:
    tree = loan.tree, writing.tree
    sys.exit()
""",
}

# Here an item was borrowed, and neither released nor given back.
LEFT_OPEN = {
    "a borrow in a global": """
loan = queue.borrow()
""",
    "a borrow and views of it in globals": """
loan = queue.borrow()
tree = loan.tree
view = tree["frame"][1:]
""",
    "a borrow after close": """
loan = queue.borrow()
queue.close()
""",
    "a borrowed batch in a global": """
loan = queue.borrow_batch(3)
""",
}


def run(program, options, stdin=b""):
    """The exit code of a program, and what it said."""
    ended = subprocess.run(
        [sys.executable, *options, "-c", program],
        input=stdin,
        timeout=WATCHDOG_S,
        capture_output=True,
    )
    assert ended.stdout == b""
    return ended.returncode, ended.stderr.decode()


@every_way
@pytest.mark.parametrize("program", QUIET.values(), ids=QUIET)
def test_a_program_ends_quietly_with_what_it_holds(program, options):
    assert run(OPENING + program, options) == (0, "")


@every_way
@pytest.mark.parametrize("program", LEFT_OPEN.values(), ids=LEFT_OPEN)
def test_a_borrow_that_was_never_released_is_told_where_python_tells_of_resources(program, options):
    code, said = run(OPENING + program, options)
    assert code == 0
    if not options:
        assert said == ""
        return
    assert "ResourceWarning" in said
    for word in ("panicked", "Fatal", "Segmentation", "SystemError", "RuntimeError"):
        assert word not in said
    # Nothing else is reported, and this once.
    assert said.count("ResourceWarning") == said.count("Warning") == 1, said


@every_way
def test_the_exit_code_stays_the_programs_own(options):
    program = "\nloan = queue.reserve()\nview = loan.tree['frame']\nsys.exit(7)\n"
    assert run(OPENING + program, options) == (7, "")


@every_way
def test_an_error_in_the_block_is_what_a_program_says_at_its_end(options):
    program = """
with queue.reserve() as writing, queue.borrow() as loan:
    frame = loan.tree["frame"]
    view = writing.tree["frame"]
    1 / 0
"""
    code, said = run(OPENING + program, options)
    assert code == 1
    assert said.endswith("ZeroDivisionError: division by zero\n")
    assert "Warning" not in said and "During handling" not in said


# A guest at the test's own queue.
GUEST = """
import pickle, sys
queue = pickle.load(sys.stdin.buffer)
"""

HELD_BY_GUESTS = {
    "loan = queue.borrow()": [0, 1, 2],
    "loan = queue.borrow(); tree = loan.tree": [0, 1, 2],
    "loan = queue.reserve(); tree = loan.tree": [0, 1, 2],
    "loan = queue.borrow(); tree = loan.tree; loan.release()": [1, 2],
    "loan = queue.borrow(); tree = loan.tree; loan.give_back()": [0, 1, 2],
    "loan = queue.borrow(); tree = loan.tree; loan.release(); queue.close()": [1, 2],
    "loan = queue.borrow(); queue.close()": [0, 1, 2],
}


@every_way
@pytest.mark.parametrize(("program", "left"), HELD_BY_GUESTS.items())
def test_what_a_program_held_at_its_end_is_back_and_what_it_released_does_not_come_again(
    program, left, options
):
    with TreeQueue(make_item(0), maxsize=4) as queue:
        for number in range(3):
            queue.put(make_item(number))
        code, _ = run(GUEST + program, options, pickle.dumps(queue))
        assert code == 0
        assert sorted(number_in(item) for item in drain(queue)) == left
        assert_capacity(queue)


@pytest.mark.skipif(sys.flags.dev_mode, reason="this is the run in development mode itself")
@pytest.mark.parametrize("module", ["test_escaping_views.py", "test_held_views.py"])
def test_views_that_escape_do_no_harm_in_development_mode_either(module):
    tests = Path(__file__).parent.parent
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-m", "pytest", "-q", "-p", "no:cacheprovider", module],
        cwd=tests,
        timeout=2 * WATCHDOG_S,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr

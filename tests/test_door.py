"""What cannot work is refused at the import, and leaves nothing that would disturb the program."""

import importlib.util
import subprocess
import sys

import pytest
from helpers import WATCHDOG_S

INTERPRETERS = next(
    name for name in ("_interpreters", "_xxsubinterpreters") if importlib.util.find_spec(name)
)

IN_A_SUBINTERPRETER = """
import {interpreters} as interpreters
{before}
interpreter = interpreters.create()
interpreters.run_string(interpreter, '''
try:
    import {module}
except ImportError as error:
    print(error, flush=True)
else:
    print("imported", flush=True)
''')
{after}
"""


def run(code):
    """What a program says; it must end by itself."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def run_subinterpreter(module, before="", after=""):
    names = {"interpreters": INTERPRETERS, "module": module, "before": before, "after": after}
    return run(IN_A_SUBINTERPRETER.format(**names))


@pytest.mark.parametrize("after", ["", "import treequeues; treequeues.TreeQueue(0, 2).put(1)"])
@pytest.mark.parametrize("before", ["", "import treequeues", "import numpy"])
@pytest.mark.parametrize("module", ["treequeues", "treequeues._core", "treequeues._exit"])
def test_a_subinterpreter_is_refused_and_the_program_ends(module, before, after):
    """It is alive when the program ends."""
    assert "main interpreter only" in run_subinterpreter(module, before, after)


def test_a_named_queue_leaves_with_a_program_that_has_a_subinterpreter(queue_folder):
    before = "from treequeues import TreeQueue; queue = TreeQueue(0, 2, name='a')"
    assert "main interpreter only" in run_subinterpreter("treequeues", before)
    assert list(queue_folder.iterdir()) == []


FAILS = """
import atexit, sys
from multiprocessing import util
registered = []
atexit.register = registered.append
{cause}
before = len(util._finalizer_registry)
try:
    import treequeues
except ImportError as error:
    print(error)
assert [handler for handler in registered if "treequeues" in str(handler.__module__)] == []
assert len(util._finalizer_registry) == before
"""


def test_an_interpreter_without_its_lock_is_refused_with_the_mend():
    assert "PYTHON_GIL=0" in run(FAILS.format(cause="sys._is_gil_enabled = lambda: False"))


def test_an_interpreter_with_its_lock_is_not():
    assert run("import sys; sys._is_gil_enabled = lambda: True; import treequeues") == ""


def test_an_import_that_fails_leaves_no_exit_handler():
    assert "_stats" in run(FAILS.format(cause="sys.modules['treequeues._stats'] = None"))

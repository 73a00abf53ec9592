"""A call that waits for nobody says so: once, after a while, and only if that is true.

Each program is run as people run theirs. What it says of a wait is looked for on its standard
error; a program that waits for good reasons must say nothing.
"""

import os
import subprocess
import sys

import pytest
from helpers import START_METHODS, WATCHDOG_S

import treequeues
from treequeues import TreeQueue

# Of the wait, in seconds: also waits in the programs are so long that several looks fall into them.
WARN_AFTER = "0.3"
LONG_S = 2.5
STARTED_ANEW = [method for method in START_METHODS if method != "fork"]

EVERY_PROGRAM = f"""
import multiprocessing as mp
import os, queue, signal, sys, threading, time, warnings
from contextlib import suppress
import numpy as np
import treequeues
from treequeues import TreeQueue, UnsharedQueueWarning

LONG_S = {LONG_S}
EXAMPLE = {{"number": 0}}
ITEM = {{"number": 1}}

def filled(maxsize=1, **options):
    filled = TreeQueue(EXAMPLE, maxsize, **options)
    for _ in range(maxsize):
        filled.put(ITEM)
    return filled

def later(seconds, function, *args):
    timer = threading.Timer(seconds, function, args)
    timer.start()
    return timer

def until(condition):
    # Who starts another process should not wait for it in a call that this is about.
    while not condition():
        time.sleep(0.01)

def timed_out(call, *args, **options):
    with suppress(queue.Empty, queue.Full):
        call(*args, timeout=LONG_S, **options)
"""


def run(tmp_path, program, *options, warn_after=WARN_AFTER):
    """What the program says on its standard error, and its exit code."""
    path = tmp_path / "program.py"
    path.write_text(EVERY_PROGRAM + program)
    environment = {**os.environ, "TREEQUEUES_DIR": str(tmp_path / "queues")}
    environment.pop("TREEQUEUES_WARN_AFTER", None)
    if warn_after is not None:
        environment["TREEQUEUES_WARN_AFTER"] = warn_after
    ended = subprocess.run(
        [sys.executable, *options, str(path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
    )
    return ended.stderr, ended.returncode


def warnings_in(said):
    return [line for line in said.splitlines() if "UnsharedQueueWarning: " in line]


ALONE = {
    "get": "timed_out(TreeQueue(EXAMPLE, 1).get)",
    "borrow": "timed_out(TreeQueue(EXAMPLE, 1).borrow)",
    "get_batch": "timed_out(TreeQueue(EXAMPLE, 2).get_batch, 2)",
    "borrow_batch": "timed_out(TreeQueue(EXAMPLE, 2).borrow_batch, 2, min=1)",
    "get_many": "timed_out(TreeQueue(EXAMPLE, 2).get_many, 2)",
    "put": "timed_out(filled().put, ITEM)",
    "reserve": "timed_out(filled().reserve)",
    "put_batch": "timed_out(filled(2).put_batch, {'number': np.ones(2, np.int64)})",
    "put_many": "timed_out(filled(2).put_many, [ITEM])",
    "reserve_batch": "timed_out(filled(2).reserve_batch, 2)",
    "iteration": """
made = TreeQueue(EXAMPLE, 1)
later(LONG_S, made.shutdown)
assert list(made) == []
""",
}


@pytest.mark.parametrize("program", ALONE.values(), ids=ALONE)
def test_a_call_that_waits_where_nobody_else_has_ever_been_says_so_once(tmp_path, program):
    said, code = run(tmp_path, program)
    assert code == 0, said
    (warning,) = warnings_in(said)
    assert "program.py" in warning, "the call is shown, and not the library"
    assert "nobody else has ever used the queue" in warning
    assert "0.3 s" in warning
    assert "as an argument" in warning and "__main__" in warning


def test_it_is_said_once_for_a_queue_object_and_again_for_another(tmp_path):
    program = """
warnings.simplefilter("always")
first, second = TreeQueue(EXAMPLE, 1), TreeQueue(EXAMPLE, 1)
for made in (first, first, second):
    timed_out(made.get)
"""
    said, code = run(tmp_path, program)
    assert code == 0, said
    assert len(warnings_in(said)) == 2


def test_of_a_named_queue_it_says_how_to_attach(tmp_path):
    said, code = run(tmp_path, "timed_out(TreeQueue(EXAMPLE, 1, name='actors').get)")
    assert code == 0, said
    (warning,) = warnings_in(said)
    assert 'TreeQueue.attach("actors")' in warning


def test_as_an_error_it_ends_the_call_each_time_and_takes_nothing(tmp_path):
    program = """
made = filled()
for _ in range(2):
    try:
        made.put(ITEM)
    except UnsharedQueueWarning:
        print("raised", file=sys.stderr)
assert made.qsize() == 1 and made.get() == ITEM
try:
    for item in made:
        pass
except UnsharedQueueWarning:
    print("raised", file=sys.stderr)
"""
    said, code = run(tmp_path, program, "-W", "error::RuntimeWarning")
    assert (said.split(), code) == (["raised"] * 3, 0)


@pytest.mark.parametrize(
    ("method", "end"),
    [("fork", end) for end in ("return", "raise", "die", "close")]
    + [(method, "raise") for method in STARTED_ANEW],
)
def test_when_all_others_have_ended_it_says_so(tmp_path, method, end):
    program = f"""
def work(made):
    made.put(ITEM)
    if "{end}" == "raise":
        raise RuntimeError("a bug")
    if "{end}" == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if "{end}" == "close":
        made.close()

if __name__ == "__main__":
    mp.set_start_method("{method}")
    made = TreeQueue(EXAMPLE, 4)
    worker = mp.Process(target=work, args=(made,))
    worker.start()
    print("pid", worker.pid, file=sys.stderr)
    until(lambda: made.qsize() == 1)
    assert made.get() == ITEM
    timed_out(made.get)
    worker.join()
"""
    said, code = run(tmp_path, program)
    assert code == 0, said
    (warning,) = warnings_in(said)
    assert "no other process is attached to the queue any more" in warning
    pid = next(line.split()[1] for line in said.splitlines() if line.startswith("pid "))
    assert f"process {pid})" in warning
    assert "shutdown()" in warning


def test_a_wait_that_begins_beside_others_notices_that_they_end(tmp_path):
    program = """
def work(made):
    assert made.qsize() == 0
    time.sleep(LONG_S)

if __name__ == "__main__":
    made = TreeQueue(EXAMPLE, 4)
    mp.Process(target=work, args=(made,)).start()
    until(lambda: made.stats().participants == 2)
    later(3 * LONG_S, made.shutdown)
    assert list(made) == []
"""
    said, code = run(tmp_path, program)
    assert code == 0, said
    (warning,) = warnings_in(said)
    assert "any more" in warning


@pytest.mark.parametrize("ends", [False, True])
def test_a_process_that_the_queue_was_handed_to_has_time_to_come(tmp_path, ends):
    program = f"""
if __name__ != "__main__":
    if {ends}:
        os._exit(1)
    # Libraries may take that long.
    time.sleep(2 * LONG_S)

def work(made):
    made.put(ITEM)

if __name__ == "__main__":
    mp.set_start_method("spawn")
    made = TreeQueue(EXAMPLE, 4)
    worker = mp.Process(target=work, args=(made,))
    worker.start()
    with suppress(queue.Empty):
        made.get(timeout={5 if ends else WATCHDOG_S})
    worker.join()
"""
    # Six times as long as usual.
    said, code = run(tmp_path, program, warn_after=WARN_AFTER if ends else "3")
    assert code == 0, said
    if ends:
        (warning,) = warnings_in(said)
        assert "for 1.8 s" in warning and "was pickled here for another process" in warning
    else:
        assert not warnings_in(said), said


# Made anew by an import.

GLOBAL = """
made = TreeQueue(EXAMPLE, 4)

def work():
    DO

if __name__ == "__main__":
    mp.set_start_method("METHOD")
    worker = mp.Process(target=work)
    worker.start()
    worker.join()
    print("the parent waits", file=sys.stderr)
    timed_out(made.get)
"""


def of_a_global(method, do):
    return GLOBAL.replace("METHOD", method).replace("DO", do)


@pytest.mark.parametrize("method", STARTED_ANEW)
def test_items_in_a_global_that_was_made_anew_are_not_lost_in_silence(tmp_path, method):
    said, code = run(tmp_path, of_a_global(method, "made.put(ITEM); made.put(ITEM)"))
    assert code == 0, said
    of_child, of_parent = warnings_in(said)
    assert "2 items are left in a queue that was made anew" in of_child
    assert "as an argument" in of_child and "__main__" in of_child
    assert "made = TreeQueue(EXAMPLE, 4)" in said, "the line that makes it is shown"
    assert "nobody else has ever used the queue" in of_parent
    assert "fork server" in of_parent


@pytest.mark.parametrize("method", STARTED_ANEW)
def test_a_wait_in_a_global_that_was_made_anew_says_so(tmp_path, method):
    said, code = run(tmp_path, of_a_global(method, "timed_out(made.get)"))
    assert code == 0, said
    of_child, _ = warnings_in(said)
    assert "a call has waited for an item" in of_child
    assert "made anew when multiprocessing imported the program" in of_child


def test_a_global_of_another_module_is_made_anew_too(tmp_path):
    (tmp_path / "common.py").write_text(
        "from treequeues import TreeQueue\nmade = TreeQueue({'number': 0}, 4)\n"
        "def work():\n    made.put({'number': 1})\n"
    )
    program = """
if __name__ == "__main__":
    import common
    mp.set_start_method("spawn")
    worker = mp.Process(target=common.work)
    worker.start()
    worker.join()
"""
    said, code = run(tmp_path, program)
    assert code == 0, said
    (warning,) = warnings_in(said)
    assert "common.py" in warning and "1 item is left" in warning


def test_under_fork_a_global_is_the_same_queue(tmp_path):
    program = of_a_global("fork", "made.put(ITEM)").replace("timed_out(made.get)", "made.get()")
    said, code = run(tmp_path, program)
    assert code == 0, said
    assert not warnings_in(said)


# Where it must stay silent.

SILENT = {
    "a producer that lives": """
def work(made):
    made.qsize()
    time.sleep(LONG_S)
    made.put(ITEM)

if __name__ == "__main__":
    made = TreeQueue(EXAMPLE, 1)
    worker = mp.Process(target=work, args=(made,))
    worker.start()
    until(lambda: made.stats().participants == 2)
    assert made.get() == ITEM
    worker.join()
""",
    "a producer that is stopped": """
def work(made):
    made.qsize()
    os.kill(os.getpid(), signal.SIGSTOP)
    made.put(ITEM)

if __name__ == "__main__":
    made = TreeQueue(EXAMPLE, 1)
    worker = mp.Process(target=work, args=(made,))
    worker.start()
    until(lambda: made.stats().participants == 2)
    later(LONG_S, os.kill, worker.pid, signal.SIGCONT)
    assert made.get() == ITEM
    worker.join()
""",
    "a spawned process, which is attached from its start": """
def work(made):
    time.sleep(LONG_S)
    made.put(ITEM)

if __name__ == "__main__":
    mp.set_start_method("spawn")
    made = TreeQueue(EXAMPLE, 1)
    worker = mp.Process(target=work, args=(made,))
    worker.start()
    until(lambda: made.stats().participants == 2)
    assert made.get() == ITEM
    worker.join()
""",
    "another thread that has put": """
made = TreeQueue(EXAMPLE, 1)
later(0, made.put, ITEM).join()
made.get()
timer = later(LONG_S, made.put, ITEM)
assert made.get() == ITEM
""",
    "the main thread has put, and another one waits": """
made = filled()
made.get()
waiting = later(0, made.get)
time.sleep(LONG_S)
made.put(ITEM)
waiting.join()
""",
    "two threads that wait, and a third that ends it": """
made = TreeQueue(EXAMPLE, 1)
waiting = [later(0, list, made) for _ in range(2)]
time.sleep(LONG_S)
made.shutdown()
""",
    "another thread that has a loan": """
made = TreeQueue(EXAMPLE, 1)
with made.reserve() as loan:
    waiting = later(0, made.get)
    time.sleep(LONG_S)
    loan.tree["number"][...] = 1
waiting.join()
""",
    "no wait at all": """
made = filled(2)
for _ in range(2):
    made.get()
with suppress(queue.Empty):
    made.get_nowait()
time.sleep(1)
""",
    "many short waits": """
made = TreeQueue(EXAMPLE, 1)
for _ in range(int(LONG_S / 0.1)):
    with suppress(queue.Empty):
        made.get(timeout=0.1)
""",
    "a global of the program, which goes to its children as an argument": """
made = TreeQueue(EXAMPLE, 4)

def work(theirs):
    theirs.put(ITEM)
    time.sleep(LONG_S)
    theirs.put(ITEM)

if __name__ == "__main__":
    mp.set_start_method("spawn")
    worker = mp.Process(target=work, args=(made,))
    worker.start()
    until(lambda: made.qsize() == 1)
    assert [made.get(), made.get()] == [ITEM, ITEM]
    worker.join()
""",
    "a global of each process for its own threads": """
made = TreeQueue(EXAMPLE, 4)

def work():
    later(0, made.put, ITEM).join()
    assert made.get() == ITEM
    waiting = later(0, made.get)
    time.sleep(LONG_S)
    made.put(ITEM)
    waiting.join()
    made.put(ITEM)

if __name__ == "__main__":
    mp.set_start_method("spawn")
    worker = mp.Process(target=work)
    worker.start()
    worker.join()
    assert worker.exitcode == 0
""",
    "a queue that an unpickled object makes for itself": """
class Worker:
    def __init__(self):
        self.made = TreeQueue(EXAMPLE, 4)
    def __reduce__(self):
        return Worker, ()
    def work(self):
        self.made.put(ITEM)

if __name__ == "__main__":
    mp.set_start_method("spawn")
    worker = mp.Process(target=Worker().work)
    worker.start()
    worker.join()
    assert worker.exitcode == 0
""",
    "a global that was made anew and is empty at the end": """
made = TreeQueue(EXAMPLE, 4)

def work():
    made.put(ITEM)
    made.get()

if __name__ == "__main__":
    mp.set_start_method("spawn")
    worker = mp.Process(target=work)
    worker.start()
    worker.join()
    assert worker.exitcode == 0
""",
}


@pytest.mark.parametrize("program", SILENT.values(), ids=SILENT)
def test_it_says_nothing_beside_others(tmp_path, program):
    said, code = run(tmp_path, program)
    assert code == 0, said
    assert not warnings_in(said), said


@pytest.mark.parametrize("warn_after", ["0", "0.0", "1e300", "60", None])
def test_another_time_or_none_may_be_asked_for(tmp_path, warn_after):
    said, code = run(tmp_path, "timed_out(TreeQueue(EXAMPLE, 1).get)", warn_after=warn_after)
    assert (said, code) == ("", 0)


def test_what_the_environment_says_when_the_queue_is_made_counts(tmp_path):
    program = """
made = TreeQueue(EXAMPLE, 1)
os.environ["TREEQUEUES_WARN_AFTER"] = "0"
silent = TreeQueue(EXAMPLE, 1)
timed_out(silent.get)
print("now", file=sys.stderr)
timed_out(made.get)
"""
    said, code = run(tmp_path, program)
    assert code == 0, said
    assert said.startswith("now")
    assert len(warnings_in(said)) == 1


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", "10 s"])
def test_a_time_that_is_none_is_said_once_and_the_usual_one_is_used(tmp_path, value):
    program = "warnings.simplefilter('always')\n" + "TreeQueue(EXAMPLE, 1)\n" * 3
    said, code = run(tmp_path, program, warn_after=value)
    assert code == 0, said
    assert said.count("RuntimeWarning: TREEQUEUES_WARN_AFTER must be a number of seconds") == 1
    assert f'"{value}"' in said and "10 s are used" in said


def test_a_time_that_is_none_is_an_error_where_warnings_are(tmp_path):
    program = """
for _ in range(2):
    try:
        TreeQueue(EXAMPLE, 1)
    except RuntimeWarning as error:
        print(error, file=sys.stderr)
"""
    said, code = run(tmp_path, program, "-W", "error", warn_after="soon")
    assert code == 0, said
    assert said.count("must be a number of seconds") == 2


def test_the_warning_is_a_runtime_warning_and_public():
    assert issubclass(treequeues.UnsharedQueueWarning, RuntimeWarning)
    assert "UnsharedQueueWarning" in treequeues.__all__
    with TreeQueue(0, maxsize=1) as queue:
        assert queue._left_unshared() == 0

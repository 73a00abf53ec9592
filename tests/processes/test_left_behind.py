"""The last participant of a named queue that leaves items behind says so, at each of its ends.

Items of a queue that is to be kept, that was shut down at once, that has no name, or whose name was
taken away on purpose, are left without a word.
"""

import gc
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from helpers import WATCHDOG_S, in_forked_child, reap

from treequeues import TreeQueue

LOST = r'3 items of the queue "a" are lost: .*keep=True'


def filled(**options):
    queue = TreeQueue({"a": np.zeros(3)}, 8, **options)
    for number in range(3):
        queue.put({"a": np.full(3, float(number))})
    return queue


def said_by(call):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        call()
        gc.collect()
    return [str(warning.message) for warning in said if warning.category is ResourceWarning]


def assert_says(call, pattern=LOST):
    said = said_by(call)
    assert len(said) == 1 and re.search(pattern, said[0]), said


def test_close_says_how_many_items_are_lost(queue_folder):
    assert_says(filled(name="a").close)
    assert os.listdir(queue_folder) == []


def test_the_warning_names_the_line_that_closed(queue_folder):
    queue = filled(name="a")
    with pytest.warns(ResourceWarning, match=LOST) as said:
        queue.close()
    assert said[0].filename == __file__


def test_the_death_of_the_last_object_says_it_too(queue_folder):
    queues = [filled(name="a")]
    assert_says(queues.clear)


def test_one_item_is_one_item(queue_folder):
    queue = TreeQueue(0, 2, name="a")
    queue.put(1)
    assert_says(queue.close, r'1 item of the queue "a" is lost')


def test_the_death_of_the_last_view_says_it_too(queue_folder):
    queue = filled(name="a")
    loan = queue.borrow()
    views = [loan.tree["a"]]
    loan.release()
    del loan
    assert said_by(queue.close) == []
    assert_says(views.clear, r'2 items of the queue "a" are lost')
    assert os.listdir(queue_folder) == []


def test_an_item_that_a_dead_taker_held_is_lost_as_well(queue_folder):
    queue = filled(name="a")

    def borrow_and_die():
        loan = queue.borrow()
        os.kill(os.getpid(), 9)
        loan.release()

    os.waitpid(in_forked_child(borrow_and_die), 0)
    assert_says(queue.close)


def drain():
    queue = filled(name="a")
    queue.get_many(3)
    queue.close()


def shut_down(immediate):
    queue = filled(name="a")
    queue.shutdown(immediate=immediate)
    queue.close()


def unlink():
    queue = filled(name="a")
    queue.unlink()
    queue.close()


def leave_it_to_another():
    """The other processes leave first, so none of them is the last."""
    queue = filled(name="a")
    reap(in_forked_child(lambda: assert_says_nothing(queue.close)))
    reap(in_forked_child(lambda: assert_says_nothing(lambda: TreeQueue.attach("a").close())))
    queue.get_many(3)
    queue.close()


def assert_says_nothing(call):
    assert said_by(call) == []


QUIET = {
    "kept": lambda: filled(name="a", keep=True).close(),
    "anonymous": lambda: filled().close(),
    "drained": drain,
    "shut down at once": lambda: shut_down(immediate=True),
    "unlinked": unlink,
    "left to another": leave_it_to_another,
}


@pytest.mark.parametrize("end", QUIET.values(), ids=QUIET)
def test_what_nobody_misses_is_left_without_a_word(queue_folder, end):
    assert_says_nothing(end)


def test_a_queue_that_was_to_be_drained_and_was_not_says_it(queue_folder):
    assert_says(lambda: shut_down(immediate=False))


PROGRAM = """
import sys, numpy as np
from treequeues import TreeQueue
{more}
def work():
    global queue
    queue = TreeQueue.open("a", {{"a": np.zeros(3)}}, 64)
    for number in range(3):
        queue.put({{"a": np.full(3, float(number))}})
if __name__ == "__main__":
    {run}
"""

START = "process = multiprocessing.get_context('{}').Process(target=work)"
PROCESS = START + "; process.start(); process.join()"

ENDS = {
    "the end of a program": ("", "work()"),
    "sys.exit": ("", "work(); sys.exit(0)"),
    "a fork": ("import multiprocessing", PROCESS.format("fork")),
    "a spawned process": ("import multiprocessing", PROCESS.format("spawn")),
    "a thread that waits": (
        "import threading",
        "work(); threading.Thread(target=queue.get_batch, args=(60,), daemon=True).start()",
    ),
}


@pytest.mark.parametrize("more, run", ENDS.values(), ids=ENDS)
def test_the_exit_handlers_of_a_process_say_it(queue_folder, tmp_path, more, run):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(more=more, run=run))
    ended = subprocess.run(
        [sys.executable, "-W", "default", program],
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
    )
    assert ended.returncode == 0, ended.stderr
    assert len(re.findall("ResourceWarning: " + LOST, ended.stderr)) == 1, ended.stderr
    assert os.listdir(queue_folder) == []

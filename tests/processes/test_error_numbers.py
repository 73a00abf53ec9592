"""Every OSError of the package has a number, and the class that Python has for that number.

What is wrong with a file of a name is in `test_foreign_files`, with its folder in `test_folders`.
"""

import errno
import fcntl
import os
import pickle
import signal
import struct
import subprocess
import sys

import pytest
from helpers import WATCHDOG_S, in_forked_child, reap

from treequeues import TreeQueue

F_OFD_SETLK = 37
ALL_BYTES = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


def refusal(call, kind):
    """The one exception that a call raises, of exactly this class."""
    with pytest.raises(OSError) as error:
        call()
    assert type(error.value) is kind, error.value
    return error.value


def attach():
    TreeQueue.attach("a").close()


def create():
    TreeQueue(0, 2, name="a").close()


def test_no_queue_of_that_name(queue_folder):
    assert refusal(attach, FileNotFoundError).errno == errno.ENOENT


def test_a_name_that_is_taken_by_this_very_process(queue_folder):
    with TreeQueue(0, 2, name="a") as queue:
        error = refusal(create, FileExistsError)
        assert error.errno == errno.EEXIST
        assert "this process itself has it open; close it first" in str(error)
        queue.put(1)
        loan = queue.borrow()
        view = loan.tree
        loan.release()
        queue.close()
        error = refusal(create, FileExistsError)
        assert "its loans, or views of them, hold 1 of the slots" in str(error)
        del view, loan
    create()


def test_a_name_that_is_taken_by_another_process(queue_folder):
    with TreeQueue(0, 2, name="a"):
        said = subprocess.run(
            [sys.executable, "-c", "from treequeues import TreeQueue; TreeQueue(0, 2, name='a')"],
            capture_output=True,
            text=True,
            timeout=WATCHDOG_S,
        ).stderr
    assert '"a" exists; attach to it' in said
    assert "this process itself" not in said


def test_a_name_that_is_kept_and_that_nobody_has_open(queue_folder):
    TreeQueue(0, 2, name="a", keep=True).close()
    assert "this process itself" not in str(refusal(create, FileExistsError))


def die_with_the_queue():
    queue = TreeQueue(0, 2, name="a")
    queue.put(1)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_queue_whose_participants_have_all_died(queue_folder):
    os.waitpid(in_forked_child(die_with_the_queue), 0)
    assert refusal(attach, OSError).errno == errno.ESTALE
    create()


def test_a_queue_that_somebody_removes_and_does_not_go_on(queue_folder):
    TreeQueue(0, 2, name="a", keep=True).close()
    with open(queue_folder / "a", "r+b") as leaver:
        fcntl.fcntl(leaver, F_OFD_SETLK, ALL_BYTES)
        error = refusal(attach, OSError)
        assert error.errno == errno.EBUSY
        assert "places" not in str(error)


def test_no_place_for_participants(queue_folder):
    with TreeQueue(0, 2, name="a", participants=1):

        def attach_in_vain():
            assert refusal(attach, OSError).errno == errno.EUSERS

        reap(in_forked_child(attach_in_vain))


def close_all_and_ask():
    queue = TreeQueue(0, 2)
    os.closerange(3, 1024)
    for needs_a_descriptor in (queue.stats, lambda: pickle.dumps(queue)):
        assert refusal(needs_a_descriptor, OSError).errno == errno.EBADF


def test_descriptors_that_were_closed_behind_the_queues_back():
    reap(in_forked_child(close_all_and_ask))


def make_a_handle_and_end(connection):
    connection.send_bytes(pickle.dumps(TreeQueue(0, 2)))


def test_a_handle_of_a_process_that_is_gone(nursery):
    import multiprocessing

    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = nursery.start("spawn", make_a_handle_and_end, sender)
    handle = receiver.recv_bytes()
    nursery.finish(process)
    assert refusal(lambda: pickle.loads(handle), ConnectionError).errno == errno.ENOENT


def test_a_handle_of_a_queue_that_was_closed():
    queue = TreeQueue(0, 2)
    handle = pickle.dumps(queue)
    queue.close()
    error = refusal(lambda: pickle.loads(handle), ConnectionError)
    # By now the number may lead nowhere, or to another file.
    assert error.errno in (errno.ENOENT, errno.ESTALE, errno.EINVAL, errno.ENXIO)

"""The folder of a named queue, when the process changes its directory, its environment or its umask
after it made the queue, or somebody moves the folder away.

F1. What takes a name away finds it where it is, whatever the environment says by then.
F2. What cannot be taken away is an error of `unlink`, and a warning of everything else.
F3. An error says in which folder it looked.
"""

import errno
import os
import pickle
import re
import stat
import subprocess
import sys
import warnings

import numpy as np
import pytest
from helpers import WATCHDOG_S, in_forked_child, reap

from treequeues import TreeQueue


def chdir_elsewhere(folder, monkeypatch):
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")


def forget_the_variable(folder, monkeypatch):
    monkeypatch.delenv("TREEQUEUES_DIR")


def name_another_folder(folder, monkeypatch):
    (folder / "other").mkdir(0o700)
    monkeypatch.setenv("TREEQUEUES_DIR", str(folder / "other"))


def name_a_folder_that_is_none(folder, monkeypatch):
    monkeypatch.setenv("TREEQUEUES_DIR", "/etc/passwd/x")


def move_the_folder(folder, monkeypatch):
    (folder / "queues").rename(folder / "moved")


def move_the_folder_and_make_another(folder, monkeypatch):
    move_the_folder(folder, monkeypatch)
    (folder / "queues").mkdir(0o700)


def delete_the_working_directory(folder, monkeypatch):
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()


CHANGES = [
    chdir_elsewhere,
    forget_the_variable,
    name_another_folder,
    name_a_folder_that_is_none,
    move_the_folder,
    move_the_folder_and_make_another,
    delete_the_working_directory,
]

LEAVES = {
    "unlink": TreeQueue.unlink,
    "close": TreeQueue.close,
    "nothing": lambda queue: None,
}


def files(folder):
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def folder(queue_folder, monkeypatch):
    """The test's folder, in which the variable names another one by a relative path."""
    monkeypatch.chdir(queue_folder)
    monkeypatch.setenv("TREEQUEUES_DIR", "queues")
    yield queue_folder
    os.chdir("/")


def leave_after_a_change(folder, monkeypatch, change, leave, queues):
    """As the last participant; `queues` has the one reference to the queue."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        change(folder, monkeypatch)
        leave(queues[0])
        if leave is TreeQueue.unlink:
            assert files(folder) == []
            queues[0].put(1)
            assert queues[0].get(timeout=WATCHDOG_S) == 1
        queues.clear()
    assert files(folder) == []
    assert said == []


@pytest.mark.parametrize("leave", LEAVES.values(), ids=LEAVES)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_file_goes_whatever_changed_since_the_queue_was_made(
    folder, monkeypatch, change, leave
):
    queues = [TreeQueue(0, 2, name="a")]
    assert files(folder) == ["a"]
    leave_after_a_change(folder, monkeypatch, change, leave, queues)


@pytest.mark.parametrize("leave", LEAVES.values(), ids=LEAVES)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("comes_by", ["fork", "name"])
def test_the_file_goes_with_another_process_too(
    folder, monkeypatch, words, change, leave, comes_by
):
    is_there, may_attach, may_leave = words
    queues = [TreeQueue(0, 2, name="a")] if comes_by == "fork" else []

    def stay_and_leave():
        if comes_by == "name":
            may_attach.wait()
            queues.append(TreeQueue.attach("a"))
        queues[0].put(1)
        assert queues[0].get(timeout=WATCHDOG_S) == 1
        is_there.tell()
        may_leave.wait()
        leave_after_a_change(folder, monkeypatch, change, leave, queues)

    child = in_forked_child(stay_and_leave)
    if comes_by == "name":
        queues.append(TreeQueue(0, 2, name="a"))
        may_attach.tell()
    is_there.wait()
    queues.clear()
    assert files(folder) == ["a"]
    may_leave.tell()
    reap(child)
    assert files(folder) == []


class Word:
    """From one process to another; the test's watchdog ends a wait in vain."""

    def __init__(self):
        self._reads, self._writes = os.pipe()

    def tell(self):
        os.write(self._writes, b"x")

    def wait(self):
        assert os.read(self._reads, 1) == b"x"

    def close(self):
        os.close(self._reads)
        os.close(self._writes)


@pytest.fixture
def words():
    words = Word(), Word(), Word()
    yield words
    for word in words:
        word.close()


def test_a_child_in_another_directory_takes_the_name_away_too(folder, monkeypatch):
    queue = TreeQueue(0, 2, name="a")
    handle = pickle.dumps(queue)
    (folder / "elsewhere").mkdir()
    here = f"""
import pickle, sys
queue = pickle.loads({handle!r})
print("attached", flush=True)
sys.stdin.read()
queue.put(1); queue.get()
"""
    child = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", here],
        cwd=folder / "elsewhere",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "attached\n"
    queue.close()
    assert files(folder) == ["a"]
    assert child.communicate("", timeout=WATCHDOG_S)[1] == ""
    assert files(folder) == []


def test_a_handle_leads_to_the_name_in_the_folder_where_it_is(folder, monkeypatch):
    """Also in a process whose environment names another folder."""
    with TreeQueue(0, 2, name="a") as queue:
        _, arguments, _ = queue.__reduce__()
        _, _, fd, segment, name, where, _ = arguments
        assert where == str(folder / "queues")
        name_another_folder(folder, monkeypatch)
        # No process with that number, so only the name is left; and another process than this one.
        code = f"""
from treequeues import TreeQueue
from treequeues._pickling import rebuild
rebuild(TreeQueue, {2**22 + 1}, {fd}, {segment!r}, {name!r}, {where!r}, None).put(7)
"""
        subprocess.run([sys.executable, "-c", code], timeout=WATCHDOG_S, check=True)
        assert queue.get(timeout=WATCHDOG_S) == 7


def test_who_attaches_is_told_in_which_folder_no_queue_of_that_name_is(folder, monkeypatch):
    with TreeQueue(0, 2, name="a"):
        chdir_elsewhere(folder, monkeypatch)
        with pytest.raises(FileNotFoundError) as refused:
            TreeQueue.attach("a")
        looked_in = str(folder / "elsewhere" / "queues")
        assert f'nothing is named "a" in {looked_in}' in str(refused.value)
        assert refused.value.filename == looked_in + "/a"
        assert refused.value.errno == errno.ENOENT


def test_a_folder_that_nobody_may_open_any_more_keeps_the_file_and_that_is_said(folder):
    queue = TreeQueue(0, 2, name="a")
    (folder / "queues").chmod(0o770)
    with pytest.raises(
        PermissionError, match=r"could not remove .*queues/a is still there: .*0700"
    ):
        queue.unlink()
    with pytest.warns(
        ResourceWarning, match=r'"a".*queues/a is still there: its folder cannot be us'
    ):
        queue.close()
    assert files(folder) == ["a"]
    (folder / "queues").chmod(0o700)
    TreeQueue(0, 2, name="a").close()
    assert files(folder) == []


def test_a_name_that_somebody_moved_is_not_lost_without_a_word(folder):
    """The link of its creator's descriptor leads to the folder, and there to no such name."""
    queue = TreeQueue(0, 2, name="a")
    (folder / "queues" / "a").rename(folder / "b")
    with pytest.raises(FileNotFoundError, match="the name leads elsewhere"):
        queue.unlink()
    with pytest.warns(ResourceWarning, match="the name leads elsewhere"):
        queue.close()


def test_unlink_says_nothing_where_the_name_is_gone_already(folder):
    with TreeQueue(0, 2, name="a") as queue:
        queue.unlink()
        queue.unlink()
        with TreeQueue(0, 2, name="a"):
            queue.unlink()
            assert files(folder) == ["a"]


def test_the_exit_handlers_say_what_they_could_not_do(queue_folder):
    code = """
import os
from treequeues import TreeQueue
queue = TreeQueue(0, 2, name="a")
os.chmod(os.environ["TREEQUEUES_DIR"], 0o770)
"""
    said = subprocess.run(
        [sys.executable, "-W", "default", "-c", code],
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
    ).stderr
    assert re.search(r'ResourceWarning: the queue "a" is left, but its file is not', said)
    assert files(queue_folder) == ["a"]


def test_a_umask_that_takes_everything_away_leaves_folder_and_file_usable(folder):
    before = os.umask(0o777)
    try:
        queue = TreeQueue(0, 2, name="a")
    finally:
        os.umask(before)
    with queue:
        assert stat.S_IMODE((folder / "queues").stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "queues" / "a").stat().st_mode) == 0o600


def test_a_folder_whose_name_is_no_text_works_like_any_other(queue_folder, monkeypatch):
    odd = os.fsdecode(os.fsencode(queue_folder) + b"/\xff\xfe caf\xe9")
    monkeypatch.setenv("TREEQUEUES_DIR", odd)
    with pytest.raises(FileNotFoundError) as refused:
        TreeQueue.attach("a")
    assert refused.value.filename == odd + "/a"
    with TreeQueue(np.zeros(2), 2, name="a") as queue:
        again = pickle.loads(pickle.dumps(queue))
        with TreeQueue.attach("a") as other:
            other.put(np.ones(2))
        assert again.get(timeout=WATCHDOG_S).sum() == 2
        again.close()
    assert files(queue_folder) == []


PROC_FOLDERS = {
    "/proc/x": (FileNotFoundError, errno.ENOENT),
    "/nonexistent/a/b": (FileNotFoundError, errno.ENOENT),
    "/etc/passwd/x": (NotADirectoryError, errno.ENOTDIR),
    "/etc/passwd": (NotADirectoryError, errno.ENOTDIR),
}


@pytest.mark.parametrize("path, expected", PROC_FOLDERS.items(), ids=PROC_FOLDERS)
def test_an_error_of_the_folder_has_the_systems_number_and_class(monkeypatch, path, expected):
    monkeypatch.setenv("TREEQUEUES_DIR", path)
    for call in (lambda: TreeQueue(0, 2, name="x"), lambda: TreeQueue.open("x", 0, 2)):
        with pytest.raises(expected[0]) as refused:
            call()
        assert (refused.value.errno, refused.value.filename) == (expected[1], path)
        assert "TREEQUEUES_DIR" in str(refused.value)
    with pytest.raises(expected[0]) as refused:
        TreeQueue.attach("x")
    assert refused.value.errno == expected[1]
    assert path in str(refused.value)

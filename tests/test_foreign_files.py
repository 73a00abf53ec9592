"""What stands under a name and is no queue, or not one that can be trusted or used.

Each is refused with its reason, and left as it was; what is a queue's remains gives way to a new
one.
"""

import errno
import fcntl
import os
import shutil
import struct
import subprocess

import pytest
from helpers import open_descriptors

from treequeues import CorruptedError, TreeQueue

VERSION_OFFSET = 8
CAPACITY_OFFSET = 40


@pytest.fixture
def path(queue_folder):
    return queue_folder / "a"


def open_and_close():
    TreeQueue.open("a", 0.0, 2).close()


def create():
    TreeQueue(0.0, 2, name="a").close()


def attach():
    TreeQueue.attach("a").close()


def refused(call):
    with pytest.raises(OSError) as error:
        call()
    return str(error.value)


def kept_queue(path):
    with TreeQueue(0.0, 2, name=path.name, keep=True) as queue:
        queue.put(1.0)


def overwrite(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def make_a_text(path):
    path.write_text("a shopping list, " * 100)
    path.chmod(0o600)


def make_an_empty_file(path):
    path.touch(0o600)


def make_a_link(path):
    kept_queue(path)
    path.rename(path.with_name("linked"))
    path.symlink_to("linked")


def make_a_pipe(path):
    os.mkfifo(path, 0o600)


def make_a_folder(path):
    path.mkdir()


def make_a_queue_that_others_can_read(path):
    kept_queue(path)
    path.chmod(0o644)


def make_a_queue_of_another_user(path):
    kept_queue(path)
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, -1)


def make_a_copy_of_another_queue(path):
    kept_queue(path.with_name("original"))
    shutil.copy(path.with_name("original"), path)


def make_an_anonymous_queues_memory(path):
    before = open_descriptors(settled=True)
    with TreeQueue(0.0, 2):
        links = [f"/proc/self/fd/{number}" for number in open_descriptors() - before]
        memory = next(link for link in links if os.readlink(link).startswith("/memfd:"))
        shutil.copyfile(memory, path)
    path.chmod(0o600)


def make_an_older_version(path):
    kept_queue(path)
    overwrite(path, VERSION_OFFSET, struct.pack("<I", 1))


def make_a_newer_version(path):
    kept_queue(path)
    overwrite(path, VERSION_OFFSET, struct.pack("<I", 99))


def make_a_damaged_header(path):
    kept_queue(path)
    overwrite(path, CAPACITY_OFFSET, struct.pack("<Q", 1 << 40))


def make_a_damaged_schema(path):
    kept_queue(path)
    overwrite(path, path.read_bytes().index(b'{"version"'), b"\xff")


def make_a_truncated_queue(path):
    kept_queue(path)
    os.truncate(path, path.stat().st_size - 4096)


def make_a_grown_queue(path):
    kept_queue(path)
    os.truncate(path, path.stat().st_size + 8192)


def make_a_queue_cut_within_its_header(path):
    kept_queue(path)
    os.truncate(path, 100)


# Refused, and left alone: it is no queue of this user, or not this one.
FOREIGN = {
    make_a_text: "does not begin with the magic bytes",
    make_an_empty_file: "the file is empty",
    make_a_queue_cut_within_its_header: "the file is shorter than a header",
    make_a_link: "it is a symbolic link",
    make_a_pipe: "it is no regular file",
    make_a_folder: "it is a folder",
    make_a_queue_that_others_can_read: "its permissions let other users in",
    make_a_queue_of_another_user: "it belongs to another user",
    make_a_copy_of_another_queue: 'it is the file of "original", copied or renamed',
    make_an_anonymous_queues_memory: "it is not sealed against resizing",
}
# Refused, and it gives way to a new queue, since nobody uses it.
BROKEN = {
    make_an_older_version: "has version 1 of the format",
    make_a_newer_version: "has version 99 of the format",
    make_a_damaged_header: "its header's checksum, at byte ",
    make_a_damaged_schema: "its schema, at bytes ",
    make_a_truncated_queue: "its header's total_nbytes, at byte ",
    make_a_grown_queue: "its header's total_nbytes, at byte ",
}


@pytest.mark.parametrize(
    "make, reason", FOREIGN.items(), ids=lambda value: getattr(value, "__name__", None)
)
def test_what_is_no_queue_of_this_user_is_refused_and_left_alone(path, make, reason):
    make(path)
    before = path.lstat()
    for call in (attach, create, open_and_close):
        message = refused(call)
        assert reason in message
        assert str(path) in message
    after = path.lstat()
    assert (before.st_ino, before.st_mode, before.st_size) == (
        after.st_ino,
        after.st_mode,
        after.st_size,
    )


@pytest.mark.parametrize("replace", [create, open_and_close])
@pytest.mark.parametrize(
    "make, reason", BROKEN.items(), ids=lambda value: getattr(value, "__name__", None)
)
def test_a_queue_that_is_damaged_or_of_another_version_is_an_error_and_gives_way(
    path, make, reason, replace
):
    make(path)
    message = refused(attach)
    assert reason in message
    assert str(path) in message
    if "version" not in make.__name__:
        with pytest.raises(CorruptedError, match="the segment is corrupted: its "):
            attach()
    replace()
    assert not path.exists()


NUMBERS = {
    make_a_text: (OSError, errno.EINVAL),
    make_an_empty_file: (OSError, errno.EINVAL),
    make_a_queue_cut_within_its_header: (OSError, errno.EINVAL),
    make_a_link: (OSError, errno.ELOOP),
    make_a_pipe: (OSError, errno.EINVAL),
    make_a_folder: (IsADirectoryError, errno.EISDIR),
    make_a_queue_that_others_can_read: (PermissionError, errno.EACCES),
    make_a_queue_of_another_user: (PermissionError, errno.EACCES),
    make_a_copy_of_another_queue: (OSError, errno.EINVAL),
    make_an_anonymous_queues_memory: (OSError, errno.EINVAL),
    make_an_older_version: (OSError, errno.EPROTONOSUPPORT),
    make_a_newer_version: (OSError, errno.EPROTONOSUPPORT),
    make_a_damaged_header: (CorruptedError, errno.EUCLEAN),
    make_a_damaged_schema: (CorruptedError, errno.EUCLEAN),
    make_a_truncated_queue: (CorruptedError, errno.EUCLEAN),
    make_a_grown_queue: (CorruptedError, errno.EUCLEAN),
}


@pytest.mark.parametrize("make", FOREIGN | BROKEN, ids=lambda make: make.__name__)
def test_a_refusal_has_a_number_the_class_of_it_and_the_files_path(path, make):
    make(path)
    kind, number = NUMBERS[make]
    with pytest.raises(OSError) as error:
        attach()
    assert type(error.value) is kind
    assert (error.value.errno, error.value.filename) == (number, str(path))


def test_every_bad_file_is_refused_with_a_message_of_its_own(path):
    messages = {}
    for make, reason in (FOREIGN | BROKEN).items():
        if make is make_a_queue_of_another_user and os.geteuid() != 0:
            continue
        make(path)
        message = refused(attach)
        assert reason in message
        assert messages.setdefault(message, make) is make, f"{messages[message]} says the same"
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()


def test_a_copy_of_a_queue_that_this_process_has_open_is_not_taken_for_it(
    queue_folder, monkeypatch
):
    """The same name and id, in another folder."""
    with TreeQueue(0.0, 2, name="a", keep=True):
        elsewhere = queue_folder / "elsewhere"
        elsewhere.mkdir(0o700)
        shutil.copy(queue_folder / "a", elsewhere / "a")
        monkeypatch.setenv("TREEQUEUES_DIR", str(elsewhere))
        assert "a copy of a file that this process has open" in refused(attach)


def test_a_queue_of_another_version_that_is_in_use_is_left_alone(path):
    kept_queue(path)
    overwrite(path, VERSION_OFFSET, struct.pack("<I", 99))
    lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 3, 1, 0)
    with open(path, "r+b") as participant:
        fcntl.fcntl(participant, fcntl.F_OFD_SETLK if hasattr(fcntl, "F_OFD_SETLK") else 37, lock)
        for call in (attach, create, open_and_close):
            assert "version 99" in refused(call)
        assert path.exists()
    create()


def test_a_folder_that_others_can_write_to_is_refused(queue_folder):
    queue_folder.chmod(0o770)
    for call in (attach, create, open_and_close):
        message = refused(call)
        assert "0700" in message
        assert "TREEQUEUES_DIR" in message
    assert os.listdir(queue_folder) == []


def test_a_folder_that_is_a_link_is_refused(queue_folder, monkeypatch):
    link = queue_folder / "link"
    (queue_folder / "real").mkdir(0o700)
    link.symlink_to("real")
    monkeypatch.setenv("TREEQUEUES_DIR", str(link))
    for call in (attach, create, open_and_close):
        assert str(link) in refused(call)
    assert os.listdir(queue_folder / "real") == []


def test_a_folder_that_cannot_be_made_is_an_error(queue_folder, monkeypatch):
    monkeypatch.setenv("TREEQUEUES_DIR", str(queue_folder / "no" / "where"))
    with pytest.raises(FileNotFoundError, match="nothing is named"):
        attach()
    with pytest.raises(FileNotFoundError, match="cannot be made"):
        create()


IN_A_SMALL_FILE_SYSTEM = """
import numpy as np, os, sys
from treequeues import TreeQueue
small = TreeQueue(np.zeros(1 << 10, np.uint8), 16, name="small")
try:
    TreeQueue(np.zeros(1 << 20, np.uint8), 64, name="large")
except OSError as error:
    print(error.errno, error)
print(sorted(os.listdir(os.environ["TREEQUEUES_DIR"])))
small.put(np.ones(1 << 10, np.uint8))
"""


def test_a_file_system_that_is_full_is_an_error_with_the_figures(queue_folder):
    import sys

    mounted = (
        f"mount -t tmpfs -o size=2m,mode=0700 none {queue_folder} && "
        f"exec {sys.executable} -W error -c '{IN_A_SMALL_FILE_SYSTEM}'"
    )
    can = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    if can.returncode != 0:
        pytest.skip("no mount namespace can be had here")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mounted], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    error, left = done.stdout.splitlines()
    assert error.startswith("28 ")  # ENOSPC
    assert "64 slots of 1048576 bytes" in error
    assert "in its file system" in error
    assert left == "['small']"

"""Queues that are larger than what there is: of the control group's memory, of the process's own
limits, of the file system's room.

The error comes when the queue is made, with the figures, and leaves nothing behind. Nobody is
killed, then or later: what a queue was made with, it has.
"""

import errno
import os
import re
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
from helpers import WATCHDOG_S, in_forked_child, open_descriptors, reap
from namespaces import MOUNTS, in_namespaces, mount_tmpfs

from treequeues import TreeQueue

MIB = 1 << 20
FIGURES = re.compile(
    r"(\d+) bytes .*are needed .*\(\d+ slots of \d+ bytes\), but (\d+) are available"
)


def queue_of(mib, **kwargs):
    return TreeQueue(np.zeros(MIB, np.uint8), maxsize=mib, **kwargs)


def fill_and_drain(queue):
    """Write to every byte of every slot."""
    for number in range(queue.maxsize):
        queue.put(np.full(MIB, number, np.uint8), timeout=WATCHDOG_S)
    assert queue.full()
    for number in range(queue.maxsize):
        assert (queue.get(timeout=WATCHDOG_S) == number).all()


def assert_refused(mib, why, name=None):
    """A queue of this size is refused for this reason, and nothing of it is left."""
    before = open_descriptors(settled=True)
    with pytest.raises(MemoryError if name is None else OSError) as refused:
        queue_of(mib, name=name)
    message = str(refused.value)
    needed, available = map(int, FIGURES.search(message).groups())
    assert available < mib * MIB <= needed
    assert why in message
    if name is not None:
        assert refused.value.errno == errno.ENOSPC
        assert os.listdir(os.environ["TREEQUEUES_DIR"]) == []
    assert open_descriptors() == before


# Limits of the process.

LIMITS = {
    "file size": (resource.RLIMIT_FSIZE, lambda: 0, "limit of a file's size"),
    "address space": (resource.RLIMIT_AS, lambda: mapped_nbytes(), "limit of its address space"),
}


def mapped_nbytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


@pytest.mark.parametrize("name", [None, "large"], ids=["anonymous", "named"])
@pytest.mark.parametrize("kind", LIMITS)
def test_a_limit_of_the_process_is_an_error_with_the_figures(queue_folder, kind, name):
    limit, used, why = LIMITS[kind]

    def work():
        # As in a program that is not Python, which ignores this signal.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        room = used() + 64 * MIB
        resource.setrlimit(limit, (room, room))
        assert_refused(256, why, name)
        with queue_of(8, name=name) as queue:
            fill_and_drain(queue)

    reap(in_forked_child(work))
    assert os.listdir(queue_folder) == []


# A control group's limit.


class ControlGroup:
    """A group of this process's own, within the one that it is in."""

    def __init__(self, limit_nbytes):
        self._folder = None
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        groups = dict(line.split(":", 2)[1:] for line in lines)
        if "memory" in groups:
            parent, limit = f"/sys/fs/cgroup/memory{groups['memory']}", "memory.limit_in_bytes"
            self._kills = "memory.oom_control"
        else:
            parent, limit = f"/sys/fs/cgroup{groups.get('', '/')}", "memory.max"
            self._kills = "memory.events"
        folder = Path(parent, f"treequeues-test-{os.getpid()}")
        try:
            folder.mkdir()
            self._folder = folder
            (folder / limit).write_text(str(limit_nbytes))
        except OSError as error:
            self.remove()
            pytest.skip(f"no control group with a limit of memory can be had here: {error}")

    def join(self):
        (self._folder / "cgroup.procs").write_text(str(os.getpid()))

    def kills(self):
        return int(re.search(r"oom_kill (\d+)", (self._folder / self._kills).read_text())[1])

    def remove(self):
        if self._folder is not None:
            self._folder.rmdir()


@pytest.fixture
def control_group():
    group = ControlGroup(192 * MIB)
    yield group
    group.remove()


def test_a_control_group_is_an_error_with_the_figures_and_kills_nobody(control_group, queue_folder):
    why = "limit of this control group"

    def work():
        control_group.join()
        assert_refused(256, why)
        assert_refused(256, why, "large")
        with queue_of(64) as queue:
            # What is left is too little for a second one, and enough for the first to be used.
            assert_refused(128, why)
            fill_and_drain(queue)

    reap(in_forked_child(work))
    assert control_group.kills() == 0


# The room of a file system.


def in_a_small_file_system(folder, options, work):
    """Do `work()` where the folder of named queues is a file system of its own."""

    def begin():
        mount_tmpfs(folder, options)
        # The folder's own entries alone.
        before = os.statvfs(folder).f_bfree
        work()
        left = os.listdir(folder)
        for name in left:
            os.unlink(folder / name)
        assert left in ([], ["filling"]), left
        assert os.statvfs(folder).f_bfree == before

    reap(in_namespaces(MOUNTS, begin))
    assert os.listdir(folder) == []


@pytest.mark.parametrize("size", ["1m", "4k"])
def test_a_tiny_file_system_is_an_error_with_the_figures(queue_folder, size):
    in_a_small_file_system(
        queue_folder,
        f"size={size}",
        lambda: assert_refused(2, "in its file system", "large"),
    )


def fill_up(folder):
    """Leave no byte of the file system to others."""
    with open(folder / "filling", "wb", buffering=0) as file, pytest.raises(OSError) as full:
        while True:
            file.write(bytes(MIB))
    assert full.value.errno == errno.ENOSPC
    assert os.statvfs(folder).f_bfree == 0


def test_a_queue_goes_on_in_a_file_system_that_is_full_by_now(queue_folder):
    def work():
        with queue_of(8, name="a") as queue:
            fill_up(queue_folder)
            # Every page was reserved, so none of these writes is a SIGBUS.
            fill_and_drain(queue)
            with pytest.raises(OSError, match="in its file system") as refused:
                TreeQueue(0, maxsize=2, name="b")
            assert refused.value.errno == errno.ENOSPC
            assert sorted(os.listdir(queue_folder)) == ["a", "filling"]

            def attach():
                with TreeQueue.attach("a") as other:
                    fill_and_drain(other)

            reap(in_forked_child(attach))
            victim = in_forked_child(lambda: (queue.reserve_batch(8), signal.raise_signal(9)))
            os.waitpid(victim, 0)
            fill_and_drain(queue)

    in_a_small_file_system(queue_folder, "size=16m", work)


def test_a_file_system_without_room_for_a_file_is_an_error(queue_folder, monkeypatch):
    def work():
        with pytest.raises(OSError, match="takes no new file") as refused:
            TreeQueue(0, maxsize=2, name="a")
        assert refused.value.errno == errno.ENOSPC
        monkeypatch.setenv("TREEQUEUES_DIR", str(queue_folder / "new"))
        with pytest.raises(OSError, match=r"cannot be made: No space left.*TREEQUEUES_DIR"):
            TreeQueue(0, maxsize=2, name="a")
        assert os.listdir(queue_folder) == []

    # One inode, and the root has it.
    in_a_small_file_system(queue_folder, "nr_inodes=1", work)

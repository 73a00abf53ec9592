"""Nothing is left behind when every participant was killed: no file, no process, no memory."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from helpers import WATCHDOG_S, wait_until

# One group of processes: a parent and children by every start method, all of them at work.
FAMILY = """
import multiprocessing
import numpy as np
from treequeues import TreeQueue

def work(queue):
    while True:
        queue.put({"frame": np.ones(1 << 16)})
        queue.get()

if __name__ == "__main__":
    queue = TreeQueue({"frame": np.zeros(1 << 16)}, maxsize=64)
    children = []
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        for _ in range(2):
            children.append(context.Process(target=work, args=(queue,)))
            children[-1].start()
    print(*[child.pid for child in children], flush=True)
    work(queue)
"""

SEGMENT_BYTES = 64 * 8 * (1 << 16)


def group_members(group):
    """The pids of a process group's members that have not ended."""
    members = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as stat:
                state, _, of_group = stat.read().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(of_group) == group and state not in "ZX":
            members.append(int(entry))
    return members


def shared_memory_bytes():
    with open("/proc/meminfo") as meminfo:
        return 1024 * int(re.search(r"Shmem: +(\d+)", meminfo.read())[1])


@pytest.fixture
def family(tmp_path):
    """The pids of a working family of processes, and the process that started them."""
    script = tmp_path / "family.py"
    script.write_text(FAMILY)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        children = [int(pid) for pid in process.stdout.readline().split()]
        assert len(children) == 4
        yield process, children
    finally:
        for pid in group_members(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait(WATCHDOG_S)
        process.stdout.close()


def holds_segment(pid):
    try:
        with open(f"/proc/{pid}/maps") as maps:
            return "memfd:" in maps.read()
    except (FileNotFoundError, ProcessLookupError):
        return False


def files_in_dev_shm(pid):
    """The files in /dev/shm that a process maps or has open."""
    with open(f"/proc/{pid}/maps") as maps:
        names = [line.split(maxsplit=5)[5] for line in maps if len(line.split()) > 5]
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            names.append(os.readlink(f"/proc/{pid}/fd/{entry}"))
        except FileNotFoundError:
            continue
    return [name for name in names if name.startswith("/dev/shm/")]


def test_nothing_is_left_when_all_participants_were_killed(family):
    process, children = family
    for pid in children:
        wait_until(lambda pid=pid: holds_segment(pid), "every child is attached")
    # A file that nobody has cannot stay behind; this also holds where others use /dev/shm.
    for pid in [process.pid, *children]:
        assert files_in_dev_shm(pid) == []
    time.sleep(0.2)
    for pid in [process.pid, *children]:
        os.kill(pid, signal.SIGKILL)
    process.wait(WATCHDOG_S)
    # Helpers of the standard library, its resource tracker, end when their last user did.
    wait_until(lambda: not group_members(process.pid), "no process of the group is left")


def test_no_file_of_a_queue_is_in_dev_shm_even_while_it_is_used(tmp_path):
    # Compared in one process, so that what other programs do meanwhile does not matter.
    program = """
import os
import numpy as np
from treequeues import TreeQueue
before = set(os.listdir("/dev/shm"))
queue = TreeQueue(np.zeros(1000), maxsize=4)
queue.put(np.ones(1000))
queue.get()
print(*(set(os.listdir("/dev/shm")) - before))
"""
    # Should another program make a file in that moment, it will not do so each of three times.
    new = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            timeout=WATCHDOG_S,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        for _ in range(3)
    ]
    assert any(names == [] for names in new), new


def test_the_memory_comes_back_when_all_participants_were_killed(family):
    process, children = family
    for pid in children:
        wait_until(lambda pid=pid: holds_segment(pid), "every child is attached")
    with_family = shared_memory_bytes()
    assert with_family >= SEGMENT_BYTES
    for pid in [process.pid, *children]:
        os.kill(pid, signal.SIGKILL)
    process.wait(WATCHDOG_S)
    # Other programs may take and give shared memory meanwhile; half of it back tells enough.
    wait_until(
        lambda: shared_memory_bytes() <= with_family - SEGMENT_BYTES // 2, "the memory is back"
    )


def test_the_end_of_the_maker_alone_leaves_the_queue_to_its_children(tmp_path):
    script = tmp_path / "maker.py"
    script.write_text(MAKER)
    ended = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        timeout=WATCHDOG_S,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.split() == [str(number) for number in range(100)]


# The maker kills itself; its child, which holds the standard output open, gets all that it put.
MAKER = """
import multiprocessing, os, signal, time
from treequeues import TreeQueue

def get_all(queue, maker):
    while os.getppid() == maker:
        time.sleep(0.01)
    for _ in range(100):
        print(queue.get(timeout=30), flush=True)

if __name__ == "__main__":
    queue = TreeQueue(0, maxsize=100)
    for number in range(100):
        queue.put(number)
    multiprocessing.get_context("fork").Process(target=get_all, args=(queue, os.getpid())).start()
    os.kill(os.getpid(), signal.SIGKILL)
"""

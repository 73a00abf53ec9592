"""Who arrives while others leave: attached, or told the truth.

A queue is stale if participants of it have died, and only then; all places are taken only if they
are; who stands still in the middle of leaving keeps nobody waiting for ever.
"""

import fcntl
import os
import struct
import time

import numpy as np
import pytest
from helpers import WATCHDOG_S, in_forked_child, reap

from treequeues import TreeQueue

F_OFD_SETLK = 37
ROUNDS_S = 4.0


def lock_all(path):
    """What a leaver does last, before it takes the name away."""
    leaver = os.open(path, os.O_RDWR)
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(leaver, F_OFD_SETLK, lock)
    return leaver


def open_and_leave(ends_at):
    while time.monotonic() < ends_at:
        TreeQueue.open("a", 0, 4).close()


def attach_and_leave(ends_at):
    while time.monotonic() < ends_at:
        try:
            TreeQueue.attach("a").close()
        except FileNotFoundError:
            continue


@pytest.mark.parametrize("openers, attachers", [(1, 1), (3, 3)])
def test_nobody_is_told_that_a_queue_is_stale_while_nobody_dies(
    queue_folder, nursery, openers, attachers
):
    ends_at = time.monotonic() + ROUNDS_S
    processes = [nursery.start("fork", open_and_leave, ends_at) for _ in range(openers)]
    processes += [nursery.start("fork", attach_and_leave, ends_at) for _ in range(attachers)]
    for process in processes:
        nursery.finish(process)
    assert os.listdir(queue_folder) == []


def test_a_queue_that_all_have_left_is_no_queue_though_its_last_one_took_no_name_away(
    queue_folder,
):
    """It died between its last lock and the end: no entry is in use, and nobody lives there."""
    TreeQueue(0, 4, name="a", keep=True).close()
    path = queue_folder / "a"
    clear_the_flag_for_keeping(path)
    with pytest.raises(FileNotFoundError):
        TreeQueue.attach("a")
    assert os.listdir(queue_folder) == []


KEEP_OFFSET, CHECKSUM_OFFSET, HEADER_NBYTES = 80, 248, 256


def clear_the_flag_for_keeping(path):
    header = bytearray(path.read_bytes()[:HEADER_NBYTES])
    flags = struct.unpack_from("<I", header, KEEP_OFFSET)[0]
    assert flags & 4
    struct.pack_into("<I", header, KEEP_OFFSET, flags & ~4)
    # The checksum's fields, in its own order: see `Header::expected_checksum`.
    fields = [(0, 8), (8, 8), (16, 8), (24, 8), (32, 8), (40, 8), (48, 8), (56, 8), (64, 8)]
    words = b"".join(bytes(header[at : at + size]) for at, size in fields)
    words += bytes(header[72:80]) + bytes(header[80:CHECKSUM_OFFSET])
    value = 0xCBF29CE484222325
    for byte in words:
        value = ((value ^ byte) * 0x100000001B3) % 2**64
    struct.pack_into("<Q", header, CHECKSUM_OFFSET, value)
    with open(path, "r+b") as file:
        file.write(header)


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_child_that_joins_while_somebody_leaves_waits_and_is_told_the_truth(
    queue_folder, goes_on
):
    queue = TreeQueue(np.zeros(3), 4, name="a", keep=True)
    is_locked, lets_go = os.pipe()

    def join():
        assert os.read(is_locked, 1) == b"x"
        if goes_on:
            queue.put(np.zeros(3), timeout=WATCHDOG_S)
        else:
            with pytest.raises(OSError, match=r"is being created or removed by a process"):
                queue.put(np.zeros(3), timeout=WATCHDOG_S)

    child = in_forked_child(join)
    queue.close()
    leaver = lock_all(queue_folder / "a")
    os.write(lets_go, b"x")
    if goes_on:
        time.sleep(0.2)
        os.close(leaver)
        reap(child)
    else:
        reap(child)
        os.close(leaver)
    os.close(is_locked)
    os.close(lets_go)
    TreeQueue.attach("a").unlink()

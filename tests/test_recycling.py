"""Memory of large arrays that a queue gave out: whose it is, when it is used again, how much is
kept."""

import gc
import pickle

import numpy as np
import pytest
from helpers import WATCHDOG_S

from treequeues import TreeQueue

LARGE = 256 * 1024  # Bytes: far above what is recycled, and a multiple of no cache line too many.


@pytest.fixture
def queue():
    with TreeQueue({"frame": np.zeros(LARGE, np.uint8), "reward": np.zeros(3)}, maxsize=2) as queue:
        yield queue


def carry(queue, number):
    """Puts an item that is all `number`, and gets it."""
    item = {"frame": np.full(LARGE, number, np.uint8), "reward": np.full(3, float(number))}
    queue.put(item, timeout=WATCHDOG_S)
    return queue.get(timeout=WATCHDOG_S)


def address(array):
    return array.__array_interface__["data"][0]


def test_large_arrays_own_their_memory_like_any_others(queue):
    frame = carry(queue, 1)["frame"]
    assert frame.flags.owndata
    assert frame.flags.writeable
    assert frame.flags.aligned
    assert frame.base is None


def test_memory_of_an_array_that_died_is_used_again(queue):
    first = address(carry(queue, 1)["frame"])
    gc.collect()
    assert address(carry(queue, 2)["frame"]) == first


def test_memory_of_a_living_array_is_never_used_again(queue):
    kept = [carry(queue, number)["frame"] for number in range(50)]
    assert len({address(frame) for frame in kept}) == 50
    for number, frame in enumerate(kept):
        assert (frame == number).all()


def test_a_view_keeps_its_arrays_memory(queue):
    view = carry(queue, 7)["frame"][1000:2000]
    for number in range(20):
        carry(queue, number)
    assert (view == 7).all()


def test_arrays_outlive_their_queue(queue):
    item = carry(queue, 9)
    queue.close()
    gc.collect()
    item["frame"][:10] = 3
    assert (item["frame"][10:] == 9).all()


def test_arrays_outlive_a_queue_object_that_was_deleted():
    queue = TreeQueue(np.zeros(LARGE, np.uint8), maxsize=1)
    queue.put(np.full(LARGE, 5, np.uint8))
    frame = queue.get()
    del queue
    gc.collect()
    assert (frame == 5).all()
    del frame
    gc.collect()


@pytest.mark.parametrize("size", [10, LARGE * 3])
def test_a_large_array_can_be_resized_in_place(queue, size):
    frame = carry(queue, 4)["frame"]
    frame.resize(size, refcheck=False)
    shared = min(size, LARGE)
    assert (frame[:shared] == 4).all()
    assert (frame[shared:] == 0).all()
    frame[:] = 1
    del frame
    assert (carry(queue, 6)["frame"] == 6).all()


def test_a_large_array_pickles_and_copies(queue):
    frame = carry(queue, 8)["frame"]
    assert (pickle.loads(pickle.dumps(frame)) == 8).all()
    assert (frame.copy() == 8).all()


def test_each_leaf_finds_memory_of_its_own_size_again_among_much_that_is_idle():
    shapes = {"left": 40_000, "right": 60_000, "small": 100}
    item = {path: np.ones(size, np.uint8) for path, size in shapes.items()}
    with TreeQueue(item, maxsize=1) as queue:

        def carried():
            queue.put(item, timeout=WATCHDOG_S)
            return queue.get(timeout=WATCHDOG_S)

        kept = [carried() for _ in range(500)]
        died = {path: {address(one[path]) for one in kept} for path in ("left", "right")}
        del kept
        gc.collect()
        again = [carried() for _ in range(500)]
        for path, addresses in died.items():
            # 50 MB have died, and all of it is kept.
            assert {address(one[path]) for one in again} == addresses
        assert all((one[path] == 1).all() for one in again for path in shapes)


def test_memory_of_sizes_that_no_leaf_has_is_bounded_too():
    nbytes = 1 << 20
    with TreeQueue(np.zeros(nbytes, np.uint8), maxsize=1) as queue:

        def resize_one(number):
            queue.put(np.ones(nbytes, np.uint8), timeout=WATCHDOG_S)
            queue.get(timeout=WATCHDOG_S).resize(nbytes + 4096 * number, refcheck=False)

        before = resident_nbytes()
        for number in range(200):
            resize_one(number)
        gc.collect()
        assert resident_nbytes() - before < 100 << 20, (
            "280 MB have died, and at most 64 MiB are kept"
        )


def test_idle_memory_is_bounded_and_given_back_at_close():
    nbytes = 8 << 20
    queue = TreeQueue(np.zeros(nbytes, np.uint8), maxsize=1)
    value = np.ones(nbytes, np.uint8)

    def carried():
        queue.put(value, timeout=WATCHDOG_S)
        return queue.get(timeout=WATCHDOG_S)

    kept = [carried() for _ in range(40)]
    before = resident_nbytes()
    del kept
    gc.collect()
    freed = before - resident_nbytes()
    assert freed >= 200 << 20, "320 MB died, and at most 64 MiB are kept"
    idle = resident_nbytes()
    queue.close()
    assert idle - resident_nbytes() >= 50 << 20, "what was kept is given back"


def test_idle_memory_is_given_back_at_close_though_a_loan_keeps_the_queue():
    nbytes = 32 << 20
    queue = TreeQueue(np.zeros(nbytes, np.uint8), maxsize=2)
    value = np.ones(nbytes, np.uint8)
    for _ in range(2):
        queue.put(value, timeout=WATCHDOG_S)
    got = [queue.get(timeout=WATCHDOG_S) for _ in range(2)]
    loan = queue.reserve(timeout=WATCHDOG_S)
    del got
    gc.collect()
    idle = resident_nbytes()
    queue.close()
    assert idle - resident_nbytes() >= 50 << 20
    loan.abort()


def test_getting_many_large_items_and_keeping_none_needs_no_more_memory():
    with TreeQueue({"frame": np.zeros(1 << 20, np.uint8), "reward": 0.0}, maxsize=2) as queue:
        item = {"frame": np.ones(1 << 20, np.uint8), "reward": 1.0}

        def carry_some(count):
            rewards = []
            for _ in range(count):
                queue.put(item, timeout=WATCHDOG_S)
                rewards.append(queue.get(timeout=WATCHDOG_S)["reward"])
            return rewards

        kept = carry_some(20)
        before = resident_nbytes()
        kept += carry_some(2000)
        assert resident_nbytes() - before < 8 << 20, "kept rewards keep no frames"
        assert len(kept) == 2020


def resident_nbytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

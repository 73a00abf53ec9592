"""Every refusal: which exception it is, what its message says, and that nothing was changed by it.

E1. The message names the place (a leaf's path, an argument) and the mend.
E2. A refused call leaves the queue as it was: each test puts and gets afterwards.
"""

import multiprocessing
import pickle
import queue as standard
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from helpers import (
    WATCHDOG_S,
    marked,
    open_descriptors,
    shared_mappings,
)

from treequeues import ArrayQueue, CorruptedError, SchemaError, ShutDown, TreeQueue


class Pair(NamedTuple):
    left: np.ndarray
    right: np.ndarray


@dataclass
class ShapeAndDtype:
    """An example without memory behind it: shape and dtype are all that a queue asks for."""

    shape: tuple[int, ...]
    dtype: np.dtype


def image(value=0):
    return np.full((84, 84), value, np.uint8)


def make_example():
    return {"obs": {"left": image(), "right": image()}, "steps": (np.zeros(2), 0), "done": False}


def assert_still_works(queue):
    """Fill the queue, be refused the next item, and get everything back: nothing is amiss (E2)."""
    before = queue.qsize()
    for value in range(queue.maxsize - before):
        item = make_example()
        item["obs"]["left"][...] = value
        queue.put_nowait(item)
    with pytest.raises(standard.Full):
        queue.put_nowait(make_example())
    for value in range(queue.maxsize):
        left = queue.get_nowait()["obs"]["left"]
        assert value < before or (left == value - before).all()
    with pytest.raises(standard.Empty):
        queue.get_nowait()


@pytest.fixture
def queue():
    with TreeQueue(make_example(), maxsize=3) as queue:
        yield queue


# The kinds of exceptions.


def test_schema_error_is_a_value_error():
    assert issubclass(SchemaError, ValueError)


def test_corrupted_error_is_an_os_error():
    assert issubclass(CorruptedError, OSError)


def test_full_and_empty_are_the_standard_librarys(queue):
    with pytest.raises(standard.Empty):
        queue.get(timeout=0.01)
    with pytest.raises(standard.Empty):
        queue.get(block=False)
    for _ in range(3):
        queue.put(make_example())
    with pytest.raises(standard.Full):
        queue.put(make_example(), timeout=0.01)
    with pytest.raises(standard.Full):
        queue.put(make_example(), block=False)


def test_a_negative_timeout_does_not_wait_as_with_multiprocessing_queue(queue):
    with pytest.raises(standard.Empty):
        queue.get(timeout=-1)
    for _ in range(3):
        queue.put(make_example(), timeout=-1)
    with pytest.raises(standard.Full):
        queue.put(make_example(), timeout=-0.5)


@pytest.mark.parametrize("timeout", ["1", b"1", [], 1j])
def test_a_timeout_that_is_no_real_number_is_a_type_error(queue, timeout):
    with pytest.raises(TypeError):
        queue.put(make_example(), timeout=timeout)
    with pytest.raises(TypeError):
        queue.get(timeout=timeout)
    assert queue.qsize() == 0
    assert_still_works(queue)


def test_a_timeout_that_is_not_a_number_is_a_value_error(queue):
    with pytest.raises(ValueError):
        queue.put(make_example(), timeout=float("nan"))
    with pytest.raises(ValueError):
        queue.get(timeout=float("nan"))
    assert_still_works(queue)


# Trees that do not fit.


def changed(path, value):
    """The example with another value at `path`; `...` as the value takes the key away."""
    item = make_example()
    node = item
    for key in path[:-1]:
        node = node[key]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return item


MISFITS = {
    "a wrong dtype": (
        changed(["obs", "left"], np.zeros((84, 84), np.float32)),
        r"obs\.left: expected uint8 \(84, 84\), got float32 \(84, 84\)",
    ),
    "a wrong shape": (
        changed(["obs", "left"], np.zeros((84, 84, 3), np.uint8)),
        r"obs\.left: expected uint8 \(84, 84\), got uint8 \(84, 84, 3\)",
    ),
    "a wrong dtype and shape": (
        changed(["obs", "left"], np.zeros((84, 84, 3), np.float32)),
        r"obs\.left: expected uint8 \(84, 84\), got float32 \(84, 84, 3\)",
    ),
    "a shape that would broadcast": (
        changed(["obs", "right"], np.zeros((84, 1), np.uint8)),
        r"obs\.right: expected uint8 \(84, 84\), got uint8 \(84, 1\)",
    ),
    "a smaller dtype that would widen": (
        changed(["steps"], (np.zeros(2, np.float32), 0)),
        r"steps.*0.*: expected float64 \(2,\), got float32 \(2,\)",
    ),
    "another byte order": (
        changed(["steps"], (np.zeros(2, ">f8"), 0)),
        r"steps.*0.*: expected float64 \(2,\), got ",
    ),
    "an int that does not fit": (changed(["steps"], (np.zeros(2), 2**63)), r"steps.*1"),
}

WRONG_KINDS = {
    "a list instead of an array": (changed(["obs", "left"], [1, 2, 3]), r"obs\.left"),
    "a dict instead of an array": (changed(["obs", "left"], {"x": image()}), r"obs\.left"),
    "an array instead of a dict": (changed(["obs"], image()), r"obs"),
    "None instead of an array": (changed(["obs", "left"], None), r"obs\.left"),
    "a str instead of an array": (changed(["obs", "left"], "frame"), r"obs\.left"),
    "a list instead of a tuple": (changed(["steps"], [np.zeros(2), 0]), r"steps"),
    "a namedtuple instead of a tuple": (changed(["steps"], Pair(np.zeros(2), 0)), r"steps"),
    "a float instead of an int": (changed(["steps"], (np.zeros(2), 1.5)), r"steps.*1"),
}

OTHER_MISFITS = {
    "an array of objects": (changed(["obs", "left"], np.full((84, 84), None)), r"obs\.left"),
    "a missing key": (changed(["obs", "left"], ...), r"left"),
    "a key too many": (changed(["obs", "middle"], image()), r"middle"),
    "a missing top key": (changed(["done"], ...), r"done"),
    "a tuple that is too short": (changed(["steps"], (np.zeros(2),)), r"steps"),
    "a tuple that is too long": (changed(["steps"], (np.zeros(2), 0, 0)), r"steps"),
}


def of_each(table):
    return pytest.mark.parametrize(("item", "message"), table.values(), ids=table)


@of_each(MISFITS | WRONG_KINDS | OTHER_MISFITS)
def test_a_tree_that_does_not_fit_is_refused_by_path_and_changes_nothing(queue, item, message):
    queue.put(make_example())
    for put in (queue.put, queue.put_nowait):
        with pytest.raises(SchemaError, match=message):
            put(item)
        assert queue.qsize() == 1
    assert_still_works(queue)


@of_each(WRONG_KINDS)
def test_a_wrong_container_or_leaf_type_is_also_a_type_error(queue, item, message):
    with pytest.raises(TypeError, match=message) as caught:
        queue.put(item)
    assert isinstance(caught.value, SchemaError)


@of_each(MISFITS)
def test_a_wrong_shape_or_dtype_is_no_type_error(queue, item, message):
    with pytest.raises(SchemaError, match=message) as caught:
        queue.put(item)
    assert not isinstance(caught.value, TypeError)


def test_a_misfit_is_found_before_waiting_for_room(queue):
    for _ in range(3):
        queue.put(make_example())
    with pytest.raises(SchemaError):
        queue.put(changed(["obs", "left"], np.zeros(3)))
    assert_still_works(queue)


def test_many_refused_puts_take_no_capacity_away(queue):
    for _ in range(50):
        with pytest.raises(SchemaError):
            queue.put(changed(["obs", "left"], np.zeros(3)))
    assert_still_works(queue)


# Places to get into that do not fit.


def read_only(array):
    array.flags.writeable = False
    return array


@of_each(
    {
        "a wrong dtype": (Pair(np.zeros(2, np.float32), np.zeros(3)), r"left.*expected float64"),
        "a wrong shape": (Pair(np.zeros(2), np.zeros((3, 1))), r"right.*expected float64 \(3,\)"),
        "a read-only array": (Pair(read_only(np.zeros(2)), np.zeros(3)), r"left.*(read|writ)"),
        "a wrong container": ((np.zeros(2), np.zeros(3)), r"Pair"),
        "a list for an array": (Pair([0.0, 0.0], np.zeros(3)), r"left"),
        "None for an array": (Pair(None, np.zeros(3)), r"left"),
    }
)
def test_an_out_that_does_not_fit_is_refused_and_no_item_is_taken(item, message):
    with TreeQueue(Pair(np.zeros(2), np.zeros(3)), maxsize=2) as queue:
        queue.put(Pair(np.ones(2), np.ones(3)))
        for get in (lambda: queue.get(out=item), lambda: queue.get(False, None, item)):
            with pytest.raises(SchemaError, match=message):
                get()
            assert queue.qsize() == 1
        assert (queue.get().right == 1).all()
        queue.put(Pair(np.ones(2), np.ones(3)))
        assert (queue.get_nowait().left == 1).all()


def test_an_out_that_does_not_fit_is_refused_even_while_the_queue_is_empty():
    with ArrayQueue(np.zeros(2), maxsize=1) as queue, pytest.raises(SchemaError):
        queue.get(out=np.zeros(3))


def test_an_out_that_is_refused_is_not_written_to():
    with TreeQueue(Pair(np.zeros(2), np.zeros(3)), maxsize=2) as queue:
        queue.put(Pair(np.ones(2), np.ones(3)))
        out = Pair(np.zeros(2), read_only(np.zeros(3)))
        with pytest.raises(SchemaError):
            queue.get(out=out)
        assert not out.left.any()


# Examples and sizes that make no queue.


@pytest.mark.parametrize(
    ("example", "path"),
    [
        ({"obs": {"left": np.array([None])}}, r"obs\.left"),
        ({"obs": {"left": np.array(["a", 1], object)}}, r"obs\.left"),
        ({"obs": np.zeros(2), "name": "actor"}, r"name"),
        ({"obs": np.zeros(2), "raw": b"bytes"}, r"raw"),
        ({"obs": np.zeros(2), "extra": {1, 2}}, r"extra"),
        ({"obs": np.zeros(2), "extra": object()}, r"extra"),
        ({"obs": [np.zeros(2), lambda: None]}, r"obs.*1"),
        ({"obs": np.array([("a", None)], [("x", "U3"), ("y", object)])}, r"obs"),
    ],
)
def test_an_unsupported_leaf_in_the_example_is_a_type_error_that_names_it(example, path):
    with pytest.raises(TypeError, match=path):
        TreeQueue(example, maxsize=2)


@pytest.mark.parametrize("leaf", [{1, 2}, object()])
def test_an_unsupported_object_points_to_register_node(leaf):
    with pytest.raises(TypeError, match="register_node"):
        TreeQueue({"obs": leaf}, maxsize=2)


@pytest.mark.parametrize("leaf", ["text", b"bytes"])
def test_text_points_to_an_array_of_a_fixed_length(leaf):
    with pytest.raises(TypeError, match=r"np\.array"):
        TreeQueue({"obs": leaf}, maxsize=2)


def test_an_unsupported_key_is_refused_by_path():
    with pytest.raises(TypeError, match=r"obs(.|\n)*register_node"):
        TreeQueue({"obs": {frozenset({1}): np.zeros(2)}}, maxsize=2)


@pytest.mark.parametrize("maxsize", [0, -1, -(2**70)])
def test_a_maxsize_below_one_is_a_value_error_that_says_what_would_do(maxsize):
    with pytest.raises(ValueError, match=r"maxsize.*(at least 1|positive|>= ?1)"):
        TreeQueue(0, maxsize=maxsize)


@pytest.mark.parametrize("maxsize", [True, False, 2.0, 2.5, "2", None, [2]])
def test_a_maxsize_that_is_no_integer_is_a_type_error(maxsize):
    with pytest.raises(TypeError, match="maxsize"):
        TreeQueue(0, maxsize=maxsize)


@pytest.mark.parametrize("participants", [0, -1])
def test_participants_below_one_is_a_value_error(participants):
    with pytest.raises(ValueError, match="participants"):
        TreeQueue(0, maxsize=1, participants=participants)


def test_maxsize_must_be_given():
    with pytest.raises(TypeError, match="maxsize"):
        TreeQueue(0)


@pytest.mark.parametrize("maxsize", [2**40, 2**62, 2**63 - 1, 2**64, 2**70])
def test_a_maxsize_that_no_machine_can_hold_is_refused_with_an_ordinary_exception(maxsize):
    with pytest.raises((MemoryError, OverflowError, ValueError)):
        TreeQueue(np.zeros(2**20), maxsize=maxsize)


def refused_for_memory():
    """Ask for far more than there is; the message, and what this process held before and after."""
    # Should the refusal fail, the kernel is to end this process and none of the others.
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    with open("/proc/meminfo") as file:
        there = 1024 * int(re.search(r"MemTotal: +(\d+)", file.read())[1])
    item = ShapeAndDtype((1 << 30,), np.dtype(np.uint8))
    maxsize = max(1 << 40, 4 * there) >> 30
    # The first queue loads what any queue loads.
    TreeQueue(0, maxsize=1).close()
    before = held_by_this_process()
    try:
        TreeQueue({"frame": item}, maxsize=maxsize)
    except MemoryError as error:
        message = str(error)
    else:
        raise AssertionError(f"{maxsize} items of 1 GiB were promised")
    return message, maxsize << 30, there, before, held_by_this_process()


def held_by_this_process():
    with open("/proc/self/status") as status:
        shared = re.search(r"RssShmem:\s+(\d+)", status.read())[1]
    return open_descriptors(), shared_mappings(), shared


def test_a_queue_larger_than_the_memory_is_refused_with_the_figures_and_keeps_none(nursery):
    message, asked, there, before, after = nursery.call("spawn", refused_for_memory)
    numbers = [int(digits.replace(",", "")) for digits in re.findall(r"\d[\d,]*", message)]
    # The bytes needed are the items' and a little more, the bytes there are less than all memory.
    assert any(asked <= number <= 1.01 * asked for number in numbers), message
    assert any(0 < number <= there for number in numbers), message
    assert "maxsize" in message, "the mend is to ask for less"
    assert after == before


def test_the_machine_still_makes_queues_after_one_was_too_large(nursery):
    nursery.call("spawn", refused_for_memory)
    with TreeQueue(make_example(), maxsize=3) as queue:
        assert_still_works(queue)


# After close.


@pytest.mark.parametrize(
    "use",
    [
        lambda queue: queue.put(make_example()),
        lambda queue: queue.put_nowait(make_example()),
        lambda queue: queue.put(make_example(), timeout=1),
        lambda queue: queue.get(),
        lambda queue: queue.get_nowait(),
        lambda queue: queue.get(timeout=1),
        lambda queue: queue.get(out=make_example()),
        lambda queue: queue.qsize(),
        lambda queue: queue.empty(),
        lambda queue: queue.full(),
        lambda queue: queue.shutdown(),
        lambda queue: next(iter(queue)),
        lambda queue: pickle.dumps(queue),
        lambda queue: queue.__enter__(),
    ],
    ids=[
        "put",
        "put_nowait",
        "put with a timeout",
        "get",
        "get_nowait",
        "get with a timeout",
        "get into out",
        "qsize",
        "empty",
        "full",
        "shutdown",
        "iteration",
        "pickling",
        "with",
    ],
)
@pytest.mark.parametrize("items", [0, 1, 3])
def test_a_closed_queue_raises_value_error(queue, use, items):
    for _ in range(items):
        queue.put(make_example())
    queue.close()
    with pytest.raises(ValueError, match="is closed"):
        use(queue)


def test_closing_is_this_process_alone(nursery, queue):
    nursery.finish(nursery.start("fork", queue.close))
    assert_still_works(queue)


def test_closing_one_of_two_handles_leaves_the_other_open(queue):
    other = pickle.loads(pickle.dumps(queue))
    other.put(make_example())
    other.close()
    with pytest.raises(ValueError, match="is closed"):
        other.get_nowait()
    assert queue.qsize() == 1
    assert_still_works(queue)


# After shutdown.


def test_after_shutdown_the_exception_is_neither_full_nor_empty(queue):
    queue.shutdown()
    for call in (lambda: queue.put(make_example()), queue.get, queue.get_nowait):
        with pytest.raises(ShutDown) as caught:
            call()
        assert not isinstance(caught.value, standard.Full | standard.Empty)


def test_a_misfit_after_shutdown_is_still_refused(queue):
    queue.shutdown()
    with pytest.raises((SchemaError, ShutDown)):
        queue.put("no tree")


# Handles that lead nowhere.


def pickle_a_queue_and_die():
    """The handle of a queue that dies with this process."""
    return pickle.dumps(TreeQueue(marked(0, 0), maxsize=2))


def pickle_a_queue_and_close_it(connection):
    queue = TreeQueue(marked(0, 0), maxsize=2)
    handle = pickle.dumps(queue)
    queue.close()
    # Another queue may well get the descriptor number of the first.
    with TreeQueue(marked(0, 0), maxsize=2) as other:
        other.put(marked(1, 1))
        connection.send(handle)
        connection.recv()


def assert_leads_nowhere(handle):
    with pytest.raises(ConnectionError, match="name=") as caught:
        pickle.loads(handle).qsize()
    # The words around `name=` say what could not be reached and why.
    assert len(str(caught.value)) > 40


def test_a_handle_of_a_process_that_is_gone_is_a_connection_error(nursery):
    assert_leads_nowhere(nursery.call("spawn", pickle_a_queue_and_die))


def test_a_handle_of_a_queue_closed_meanwhile_never_reaches_another_queue(nursery):
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = nursery.start("spawn", pickle_a_queue_and_close_it, there)
    assert here.poll(WATCHDOG_S)
    assert_leads_nowhere(here.recv())
    here.send(None)
    nursery.finish(process)


def test_a_handle_to_a_queue_closed_in_this_very_process_is_a_connection_error():
    queue = TreeQueue(marked(0, 0), maxsize=2)
    handle = pickle.dumps(queue)
    queue.close()
    del queue
    assert_leads_nowhere(handle)

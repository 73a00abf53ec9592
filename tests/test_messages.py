"""Messages: each names the argument or the place, says what is wrong there, and a mend that works.

Those about values that do not fit a leaf are in `test_given_values`.
"""

import array
import datetime
import math
import pickle
import resource
import sys
from collections import namedtuple
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from helpers import WATCHDOG_S

from treequeues import ArrayQueue, SchemaError, TreeQueue


@dataclass(frozen=True)
class Frozen:
    reward: float


Pair = namedtuple("Pair", "left right")


def refusal_of(example):
    """The message with which an example is refused."""
    with pytest.raises(TypeError) as caught:
        TreeQueue(example, maxsize=1)
    return str(caught.value)


# Examples.


@pytest.mark.parametrize(
    ("leaf", "mend"),
    [
        (bytearray(4), "a bytearray has no fixed size; use np.zeros(4, np.uint8), which takes one"),
        (memoryview(b"ab"), "use np.zeros(2, np.uint8)"),
        (memoryview(np.zeros((2, 3))), "use np.zeros((2, 3), np.float64)"),
        (array.array("f", [1]), "use np.zeros(1, np.float32)"),
        (range(3), "use np.arange(0, 3), or list(range(0, 3))"),
        (datetime.datetime(2026, 1, 2, 3), "use np.datetime64(value)"),
        (datetime.date(2026, 1, 2), "use np.datetime64(value)"),
        (datetime.timedelta(1), "use np.timedelta64(value)"),
        (Decimal("1.5"), "use float(value)"),
        (Fraction(1, 2), "use float(value)"),
    ],
)
def test_an_object_that_is_no_leaf_points_to_one(leaf, mend):
    message = refusal_of({"in": leaf})
    assert mend in message and "register_node" not in message
    # The mends are Python, and make examples that carry what was given.
    for mend in message.split("; use ")[1].split(", which")[0].split(", or "):
        example = eval(mend, {"np": np, "value": leaf})
        with TreeQueue({"in": example}, maxsize=1) as queue:
            queue.put({"in": leaf if mend.startswith("np.zeros") else example}, timeout=WATCHDOG_S)


@pytest.mark.parametrize(
    "leaf",
    [lambda: None, len, "".join, math, (one for one in ()), iter([]), sys.stdout],
    ids=lambda leaf: type(leaf).__name__,
)
def test_what_nothing_can_carry_is_refused_as_that(leaf):
    message = refusal_of({"in": leaf})
    assert "in: " in message and "cannot be carried" in message and "register_node" not in message


# Numbers of trees.


class Sized:
    """Says how many it has, and has them."""

    def __len__(self):
        return 9

    def __iter__(self):
        return iter([0] * 9)


@pytest.mark.parametrize(
    ("trees", "got"),
    [
        ([0] * 9, "got 9"),
        (range(9), "got 9"),
        (Sized(), "got 9"),
        ((0 for _ in range(9)), "got at least 5"),
    ],
)
def test_too_many_trees_are_counted_where_they_can_be(trees, got):
    with TreeQueue(0, maxsize=4) as queue:
        with pytest.raises(ValueError, match=f"at most the queue's maxsize of 4, {got}$"):
            queue.put_many(trees)
        assert queue.empty()


# What cannot be replaced in `out`.


@pytest.mark.parametrize(
    ("example", "place"),
    [
        (Frozen(0.0), "in a Frozen, whose fields cannot be set;"),
        ([{"a": 0}, Frozen(0.0)], "in a Frozen, whose fields cannot be set;"),
        (Pair([0], 0.0), "in a Pair, which is a tuple;"),
        ({"a": ([0], (), 0.0)}, "in a tuple;"),
        (0.0, "as the whole of out;"),
    ],
)
def test_a_scalar_that_cannot_be_replaced_is_told_where_it_is(example, place):
    with TreeQueue(example, maxsize=1) as queue:
        queue.put(example)
        with pytest.raises(SchemaError) as caught:
            queue.get(out=example)
        assert f"cannot be replaced where it is, {place}" in str(caught.value)
        assert queue.qsize() == 1


# Arguments.


def wrong_arguments():
    return [
        (lambda queue: TreeQueue(0, 1, name=3), "name must be a str or None, got an int"),
        (lambda queue: TreeQueue(0, 1, name=b"a"), "name must be a str or None, got a bytes"),
        (lambda queue: TreeQueue(0, 1, keep=1), "keep must be a bool, got an int"),
        (lambda queue: TreeQueue(0, 1, populate=None), "populate must be a bool, got None"),
        (lambda queue: TreeQueue(0, [1]), "maxsize must be an int, got a list"),
        (lambda queue: TreeQueue(0, np.zeros(2)), "maxsize must be an int, got an ndarray"),
        (lambda queue: TreeQueue.attach(3), "name must be a str, got an int"),
        (lambda queue: TreeQueue.open(None, 0, 1), "name must be a str, got None"),
        (lambda queue: TreeQueue.open("a", 0, 1, keep="no"), "keep must be a bool, got a str"),
        (
            lambda queue: TreeQueue.open("a", 0, 1, populate=0),
            "populate must be a bool, got an int",
        ),
        (
            lambda queue: ArrayQueue(np.zeros(1), 1, name=3),
            "name must be a str or None, got an int",
        ),
        (
            lambda queue: queue.put(0, timeout="x"),
            "timeout must be a number of seconds or None, got a str",
        ),
        (
            lambda queue: queue.get(timeout=[1]),
            "timeout must be a number of seconds or None, got a list",
        ),
        (
            lambda queue: queue.borrow_batch(1, timeout={}),
            "timeout must be a number of seconds or None, got a dict",
        ),
        (lambda queue: queue.get(info="yes"), "info must be a bool, got a str"),
        (lambda queue: queue.shutdown(immediate=1), "immediate must be a bool, got an int"),
        (lambda queue: queue.get_batch("1"), "n must be an int, got a str"),
        (lambda queue: queue.get_batch(1, min=1.0), "min must be an int, got a float"),
        (lambda queue: queue.get_many([1]), "max_items must be an int, got a list"),
    ]


@pytest.mark.parametrize(("call", "message"), wrong_arguments(), ids=range(len(wrong_arguments())))
def test_an_argument_of_the_wrong_type_is_named(queue_folder, call, message):
    with TreeQueue(0, maxsize=2) as queue:
        queue.put(0)
        with pytest.raises(TypeError) as caught:
            call(queue)
        assert str(caught.value) == message
        assert queue.qsize() == 1


@pytest.mark.parametrize("truth", [True, np.True_])
def test_flags_may_be_bools_of_numpys(truth):
    with TreeQueue(0, 1, populate=truth) as queue:
        queue.put(0)
        _, info = queue.get(info=truth)
        assert info.ticket == 0


# The system's reasons.


def test_a_folder_that_cannot_be_used_says_how_to_use_another(monkeypatch):
    monkeypatch.setenv("TREEQUEUES_DIR", "/etc/passwd/x")
    with pytest.raises(OSError) as caught:
        TreeQueue(0, maxsize=1, name="a")
    assert str(caught.value.strerror).endswith("; set TREEQUEUES_DIR to another folder")
    assert "os error" not in str(caught.value)


def refusals_for_want_of_descriptors():
    """The messages of what is made, and attached to, with ever fewer descriptors to be had."""
    queue = TreeQueue(0, maxsize=1, name="there")
    handle = pickle.dumps(queue)
    ways = [
        lambda: TreeQueue(0, maxsize=1),
        lambda: TreeQueue(0, maxsize=1, name="new"),
        lambda: TreeQueue.open("new", 0, maxsize=1),
        lambda: TreeQueue.attach("there"),
        lambda: pickle.loads(handle),
    ]
    for way in ways:
        # All modules are there that it needs.
        way().close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    messages = []
    with open("/dev/null") as null:
        taken = []
        try:
            while True:
                taken.append(open(null.name))  # noqa: SIM115
        except OSError:
            pass
        for _ in range(12):
            for way in ways:
                try:
                    way().close()
                except OSError as error:
                    messages.append(str(error))
            taken.pop().close()
    return messages


def test_too_few_descriptors_say_how_many_a_queue_takes_and_how_to_have_more(nursery, queue_folder):
    messages = nursery.call("spawn", refusals_for_want_of_descriptors)
    assert len(messages) > 5
    for message in messages:
        assert "Too many open files in this process" in message, message
        assert "two descriptors in each process" in message, message
        assert "ulimit -n" in message, message
        assert "os error" not in message, message


# Handles that lead nowhere.


def test_the_handle_of_a_named_queue_that_is_gone_says_what_to_do_then(queue_folder):
    with TreeQueue(0, maxsize=1, name="steps") as queue:
        handle = pickle.dumps(queue)
    with pytest.raises(ConnectionError) as caught:
        pickle.loads(handle)
    message = str(caught.value)
    assert 'the queue "steps"' in message and "keep=True" in message
    assert 'TreeQueue.attach("steps")' in message
    assert "give the queue a name" not in message and "os error" not in message


def test_the_handle_of_a_queue_without_a_name_that_is_gone_asks_for_one():
    with TreeQueue(0, maxsize=1) as queue:
        handle = pickle.dumps(queue)
    with pytest.raises(ConnectionError, match="give the queue a name") as caught:
        pickle.loads(handle)
    assert "os error" not in str(caught.value)


# Loans.


def test_a_loan_whose_commit_failed_says_so_when_it_is_ended_once_more():
    with TreeQueue({"in": 0}, maxsize=1) as queue:
        loan = queue.reserve()
        loan.tree["in"] = "text"
        with pytest.raises(SchemaError):
            loan.commit()
        for again in (loan.commit, loan.abort):
            with pytest.raises(ValueError, match="its commit failed, and nothing was put"):
                again()
        assert queue.empty()


# What a queue is shown as.


def test_a_queue_is_shown_with_its_name(queue_folder):
    with TreeQueue(0, maxsize=2, name="steps") as queue:
        assert repr(queue).startswith('<TreeQueue "steps" maxsize=2 of ')
    with TreeQueue(0, maxsize=2) as queue:
        assert repr(queue).startswith("<TreeQueue maxsize=2 of ")

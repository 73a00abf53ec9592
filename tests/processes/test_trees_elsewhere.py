"""Trees in processes that did not make the queue: they know it from the segment alone."""

import dataclasses
from collections import namedtuple

import attrs
import numpy as np
import pytest
import tree_cases
from helpers import WATCHDOG_S
from tree_cases import assert_same_tree, one_of_everything

from treequeues import TreeQueue, register_node


@dataclasses.dataclass
class Unknown:
    """Of a module that other processes cannot import under its name."""

    x: object


Unknown.__module__ = "no_such_module"


@attrs.define
class UnknownToo:
    y: object


UnknownToo.__module__ = "no_such_module"
UnknownPair = namedtuple("UnknownPair", "left right", module="no_such_module")


class UnknownNode:
    def __init__(self, child):
        self.child = child


UnknownNode.__module__ = "no_such_module"
register_node(UnknownNode, lambda node: ((node.child,), "aux"), lambda _, c: UnknownNode(*c))


def test_another_process_gets_and_puts_the_same_tree(nursery, start_method):
    tree = one_of_everything()
    with TreeQueue(tree, maxsize=1) as source, TreeQueue(tree, maxsize=1) as sink:
        source.put(tree, timeout=WATCHDOG_S)
        nursery.call(start_method, tree_cases.pass_on_everything, source, sink, WATCHDOG_S)
        assert_same_tree(sink.get(timeout=WATCHDOG_S), tree)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_classes_that_another_process_cannot_import_are_dicts_and_tuples_there(nursery, method):
    def tree(value):
        return {
            "dataclass": Unknown(value),
            "attrs": UnknownToo([value]),
            "pair": UnknownPair(value, None),
            "node": UnknownNode(value),
        }

    with TreeQueue(tree(0), maxsize=2) as source, TreeQueue(tree(0), maxsize=1) as sink:
        source.put(tree(5), timeout=WATCHDOG_S)
        seen = nursery.call(method, tree_cases.get_repr, source, WATCHDOG_S)
        assert seen == repr(
            {"dataclass": {"x": 5}, "attrs": {"y": [5]}, "pair": (5, None), "node": (5,)}
        )
        # What is put there as dicts and tuples are objects again where their classes are known.
        source.put(tree(6), timeout=WATCHDOG_S)
        nursery.call(method, tree_cases.pass_on, source, sink, WATCHDOG_S)
        got = sink.get(timeout=WATCHDOG_S)
    assert got.pop("node").child == 6
    expected = tree(6)
    del expected["node"]
    assert_same_tree(got, expected)


def test_a_forked_process_knows_the_classes_of_its_parent(nursery):
    with TreeQueue(Unknown(0), maxsize=1) as queue:
        queue.put(Unknown(5), timeout=WATCHDOG_S)
        assert nursery.call("fork", tree_cases.get_repr, queue, WATCHDOG_S) == repr(Unknown(5))


def test_a_process_that_needs_ml_dtypes_imports_it(nursery):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.ones(2, ml_dtypes.bfloat16)
    with TreeQueue(array, maxsize=1) as queue:
        queue.put(array, timeout=WATCHDOG_S)
        seen = nursery.call("spawn", tree_cases.get_repr, queue, WATCHDOG_S)
    assert seen == "array([1, 1], dtype=bfloat16)"

"""Queues in cycles of references: what nobody else reaches is collected, with all it holds."""

import functools
import gc
import os
import weakref
from collections import defaultdict, namedtuple
from dataclasses import dataclass

import attrs
import numpy as np
import pytest

from treequeues import TreeQueue, _registry, register_node

EXAMPLE = {"x": np.zeros(1000)}


def held_by_this_process():
    """Descriptors and mapped segments."""
    with open("/proc/self/maps") as maps:
        return len(os.listdir("/proc/self/fd")), sum("memfd:" in line for line in maps)


def dataclass_with_its_queue():
    @dataclass
    class Item:
        x: np.ndarray

    Item.queue = TreeQueue(Item(np.zeros(1000)), 100)
    return weakref.ref(Item)


def attrs_class_with_its_queue():
    @attrs.define
    class Item:
        x: np.ndarray

    Item.queue = TreeQueue([Item(np.zeros(1000))], 100)
    return weakref.ref(Item)


def named_tuple_with_its_queue():
    class Item(namedtuple("Pair", "x y")):
        __slots__ = ()

    Item.queue = TreeQueue(Item(np.zeros(1000), 0), 100)
    return weakref.ref(Item)


def factory_of_a_default_dict_with_its_queue():
    class Rows(list):
        pass

    # A factory has to be found by its name.
    globals()["Rows"] = Rows
    Rows.__qualname__ = "Rows"
    Rows.queue = TreeQueue(defaultdict(Rows, x=np.zeros(1000)), 100)
    del globals()["Rows"]
    return weakref.ref(Rows)


def registered_class_with_its_queue():
    class Item:
        def __init__(self, x):
            self.x = x

    register_node(Item, lambda item: ((item.x,), None), lambda aux, children: Item(*children))
    Item.queue = TreeQueue(Item(np.zeros(1000)), 100)
    # The registry keeps the class for as long as it knows it.
    del _registry._nodes[Item]
    return weakref.ref(Item)


def hook_with_its_queue():
    kept = []
    queue = TreeQueue(EXAMPLE, 100, max_deliveries=1, on_drop=lambda tree, info: kept)
    kept.append(queue)
    return weakref.ref(queue)


def hook_with_a_loan_that_ended():
    kept = []
    queue = TreeQueue(EXAMPLE, 100, max_deliveries=1, on_drop=lambda tree, info: kept)
    queue.put(EXAMPLE)
    kept.append(queue.borrow())
    kept[0].release()
    return weakref.ref(kept[0])


def hook_with_a_loan():
    kept = []
    queue = TreeQueue(EXAMPLE, 100, max_deliveries=1, on_drop=lambda tree, info: kept)
    kept.append(queue.reserve())
    return weakref.ref(kept[0])


def hook_that_is_a_method_of_an_owner():
    class Owner:
        def __init__(self):
            hook = functools.partial(self.dropped, 1)
            self.queue = TreeQueue(EXAMPLE, 100, max_deliveries=1, on_drop=hook)

        def dropped(self, number, tree, info):
            pass

    return weakref.ref(Owner())


def hook_that_is_a_queue_of_the_same_class():
    @dataclass
    class Item:
        x: np.ndarray

    Item.dropped = TreeQueue(Item(np.zeros(1000)), 100)
    Item.queue = TreeQueue(Item(np.zeros(1000)), 100, max_deliveries=1, on_drop=Item.dropped)
    return weakref.ref(Item)


def loan_in_its_own_tree():
    loan = TreeQueue(EXAMPLE, 100).reserve()
    loan.tree["me"] = loan
    return weakref.ref(loan)


def class_with_a_loan():
    @dataclass
    class Item:
        x: np.ndarray

    Item.loan = TreeQueue(Item(np.zeros(1000)), 100).reserve()
    Item.tree = Item.loan.tree
    return weakref.ref(Item)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    "make",
    [
        dataclass_with_its_queue,
        attrs_class_with_its_queue,
        named_tuple_with_its_queue,
        factory_of_a_default_dict_with_its_queue,
        registered_class_with_its_queue,
        hook_with_its_queue,
        hook_with_a_loan_that_ended,
        hook_with_a_loan,
        hook_that_is_a_method_of_an_owner,
        hook_that_is_a_queue_of_the_same_class,
        loan_in_its_own_tree,
        class_with_a_loan,
    ],
)
def test_a_queue_that_only_a_cycle_reaches_is_collected(make):
    make()
    gc.collect()
    before = held_by_this_process()
    witnesses = [make() for _ in range(5)]
    for _ in range(3):
        gc.collect()
    assert [witness() for witness in witnesses] == [None] * 5
    assert held_by_this_process() == before


def test_collections_in_the_middle_of_its_use_leave_a_queue_alone():
    @dataclass
    class Item:
        x: np.ndarray
        values: defaultdict

    def example(number):
        return Item(np.full(3, number), defaultdict(list, a=number))

    Item.queue = TreeQueue(example(0), 4, max_deliveries=1, on_drop=lambda tree, info: Item)
    for number in range(20):
        Item.queue.put(example(number))
        gc.collect()
        with Item.queue.borrow() as loan:
            gc.collect()
            assert (loan.tree.x == number).all()
        gc.collect()
    Item.queue.put(example(5))
    assert Item.queue.get().values["a"] == 5

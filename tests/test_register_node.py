"""register_node: classes as nodes of trees, by registration here or with a library."""

import subprocess
import sys
from collections import OrderedDict, deque, namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import WATCHDOG_S
from tree_cases import Interval, Point, assert_same_tree

from treequeues import SchemaError, TreeQueue, register_node


def carry(tree, example=None):
    with TreeQueue(tree if example is None else example, maxsize=1) as queue:
        queue.put(tree, timeout=WATCHDOG_S)
        return queue.get(timeout=WATCHDOG_S)


def misfit_of(example, tree, of=SchemaError):
    with TreeQueue(example, maxsize=1) as queue:
        with pytest.raises(of) as caught:
            queue.put(tree, timeout=WATCHDOG_S)
        assert queue.empty()
    return str(caught.value)


def new_class(name="Box"):
    """A class of its own for each test, because a registration is for ever."""

    class Box:
        def __init__(self, *children):
            self.children = children

    Box.__name__ = Box.__qualname__ = name
    return Box


@pytest.fixture(scope="module", autouse=True)
def interval():
    register_node(Interval, Interval.flatten, Interval.unflatten)


def test_a_registered_class_is_a_node():
    tree = {"in": [Interval(np.arange(3), {"x": 1.0}, "both")]}
    example = {"in": [Interval(np.zeros(3, int), {"x": 0.0}, "both")]}
    assert_same_tree(carry(tree, example), tree)


def test_paths_lead_into_custom_nodes_by_index():
    message = misfit_of(
        {"in": Interval(0, {"x": 0}, "both")}, {"in": Interval(0, {"x": "text"}, "both")}
    )
    assert message.startswith("in[1].x: expected an int, got a str")


def test_the_aux_data_is_part_of_the_structure():
    message = misfit_of(Interval(0, 1, "both"), Interval(0, 1, "left"))
    assert message == "(root): expected the aux data 'both', got 'left'"


def test_another_number_of_children_is_refused():
    box = new_class()
    register_node(box, lambda box: (box.children, None), lambda _, children: box(*children))
    message = misfit_of(box(1, 2), box(1, 2, 3))
    assert message.startswith("(root): expected a Box of length 2, got one of length 3")


def test_an_object_of_another_class_is_refused():
    message = misfit_of({"in": Interval(0, 1, "")}, {"in": (0, 1)}, TypeError)
    assert message == "in: expected an Interval, got a tuple"


def test_children_may_be_any_iterable_and_aux_any_tuple_of_plain_values():
    box = new_class()
    aux = ("name", 1, 2.5, None, True, b"x", ("nested", float("nan")))
    register_node(
        box,
        lambda box: ((child for child in box.children), (*aux[:-1], ("nested", float("nan")))),
        lambda aux, children: box(*children, aux),
    )
    got = carry(box(1, 2))
    assert got.children[:2] == (1, 2) and repr(got.children[2]) == repr(aux)


def test_aux_data_that_other_processes_could_not_make_is_refused_by_path():
    box = new_class()
    register_node(box, lambda box: ((), object()), lambda aux, children: box())
    with pytest.raises(TypeError, match=r"^\[0\]: the aux data of .*Box is a value of type object"):
        TreeQueue([box()], maxsize=1)


@pytest.mark.parametrize("parts", [None, (1,), (1, 2, 3), [1, 2], 5])
def test_a_flatten_function_that_returns_something_else_is_a_type_error(parts):
    box = new_class()
    register_node(box, lambda box: parts, lambda aux, children: box())
    with pytest.raises(TypeError, match=r"flatten function of Box must return a tuple"):
        TreeQueue(box(), maxsize=1)


class Raised(Exception):
    pass


def test_what_a_flatten_function_raises_is_not_masked_and_nothing_is_put():
    box = new_class()

    def flatten(box):
        if box.children != (0,):
            raise Raised
        return box.children, None

    register_node(box, flatten, lambda _, children: box(*children))
    with TreeQueue(box(0), maxsize=1) as queue:
        with pytest.raises(Raised):
            queue.put(box(1), timeout=WATCHDOG_S)
        assert queue.empty()
        queue.put(box(0), timeout=WATCHDOG_S)
        assert queue.get(timeout=WATCHDOG_S).children == (0,)


def test_what_an_unflatten_function_raises_is_not_masked_and_the_item_stays():
    box = new_class()
    broken = [True]

    def unflatten(_, children):
        if broken[0]:
            raise Raised
        return box(*children)

    register_node(box, lambda box: (box.children, None), unflatten)
    with TreeQueue(box(0), maxsize=1) as queue:
        queue.put(box(7), timeout=WATCHDOG_S)
        for _ in range(3):
            with pytest.raises(Raised):
                queue.get(timeout=WATCHDOG_S)
        broken[0] = False
        assert queue.get(timeout=WATCHDOG_S).children == (7,)


def test_a_flatten_function_may_change_the_tree_that_is_being_put():
    box = new_class()
    tree = {"box": box(), "array": np.arange(3.0)}

    def flatten(box):
        tree.pop("array", None)
        return (), None

    register_node(box, flatten, lambda _, children: box())
    example = {"box": box(), "array": np.zeros(3)}
    with TreeQueue(example, maxsize=1) as queue:
        with pytest.raises(SchemaError):
            queue.put(tree, timeout=WATCHDOG_S)
        assert queue.empty()


def test_a_registered_named_tuple_is_taken_apart_by_its_functions():
    pair = namedtuple("pair", "left right")
    register_node(pair, lambda pair: ((pair.left,), "aux"), lambda _, left: pair(*left, "right"))
    assert carry(pair(1, "text")) == pair(1, "right")


def test_registering_twice_is_a_value_error():
    box = new_class()
    register_node(box, lambda box: ((), None), lambda aux, children: box())
    with pytest.raises(ValueError, match="registered already"):
        register_node(box, lambda box: ((), None), lambda aux, children: box())


@pytest.mark.parametrize(
    "cls", [dict, OrderedDict, list, tuple, type(None), int, bool, np.ndarray, np.float32]
)
def test_builtin_containers_and_leaves_cannot_be_registered(cls):
    with pytest.raises(ValueError):
        register_node(cls, lambda obj: ((), None), lambda aux, children: None)


def test_what_is_no_class_or_no_function_is_a_type_error():
    with pytest.raises(TypeError, match="expects a class"):
        register_node(5, lambda obj: ((), None), lambda aux, children: None)
    with pytest.raises(TypeError, match="callable"):
        register_node(new_class(), None, lambda aux, children: None)


# Libraries.


def test_no_library_is_imported_to_look_for_its_nodes():
    code = (
        "import sys\n"
        "from treequeues import TreeQueue\n"
        "try:\n    TreeQueue(object(), 1)\nexcept TypeError:\n    pass\n"
        "print([name for name in ('optree', 'jax', 'torch') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=WATCHDOG_S, check=True
    )
    assert run.stdout.strip() == "[]"


def test_nodes_registered_with_optree_are_found():
    optree = pytest.importorskip("optree")
    from optree.registry import __GLOBAL_NAMESPACE as GLOBAL_NAMESPACE

    box = new_class()
    optree.register_pytree_node(
        box,
        lambda box: (box.children, "aux", ("a", "b")),
        lambda aux, children: box(*children, aux),
        namespace=GLOBAL_NAMESPACE,
    )
    assert carry(box(1, np.arange(2)), box(0, np.zeros(2, int))).children[::2] == (1, "aux")
    assert carry(deque([1, 2], maxlen=3)) == deque([1, 2], maxlen=3)
    assert_same_tree(carry(Point(1, 2)), Point(1, 2))


def test_nodes_registered_with_jax_are_found():
    jax = pytest.importorskip("jax")
    box = new_class()
    jax.tree_util.register_pytree_node(
        box, lambda box: (box.children, ("aux", 1)), lambda aux, children: box(*children, aux)
    )
    assert carry(box(5), box(0)).children == (5, ("aux", 1))
    assert_same_tree(carry(Point(1, 2)), Point(1, 2))


def test_arrays_and_shapes_of_jax_are_carried():
    jax = pytest.importorskip("jax")
    example = {"a": jax.ShapeDtypeStruct((2, 3), jax.numpy.bfloat16), "b": jax.numpy.zeros(3)}
    tree = {"a": jax.numpy.ones((2, 3), jax.numpy.bfloat16), "b": jax.numpy.arange(3.0)}
    assert_same_tree(carry(tree, example), {name: np.array(leaf) for name, leaf in tree.items()})


def test_nodes_registered_with_torch_are_found(monkeypatch):
    box = new_class()
    node = SimpleNamespace(
        flatten_fn=lambda box: (list(box.children), "aux"),
        unflatten_fn=lambda children, aux: box(*children, aux),
    )
    try:
        import torch.utils._pytree as pytree
    except ImportError:
        # Without torch, its table of nodes is enough to see that it is read.
        pytree = SimpleNamespace(SUPPORTED_NODES={})
    monkeypatch.setitem(sys.modules, "torch.utils._pytree", pytree)
    monkeypatch.setitem(pytree.SUPPORTED_NODES, box, node)
    assert carry(box(5), box(0)).children == (5, "aux")


def test_tensors_of_torch_are_carried():
    torch = pytest.importorskip("torch")
    example, tree = torch.zeros((2, 3)), torch.arange(6.0).reshape(3, 2).T
    assert_same_tree(carry(tree, example), tree.numpy().copy())

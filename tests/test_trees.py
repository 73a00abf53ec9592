"""Trees: which containers and leaves a queue carries, how a value is matched, what comes back.

Example and value differ in most tests, so that what comes back cannot be the example.
"""

import dataclasses
import enum
import sys
from collections import Counter, OrderedDict, UserDict, defaultdict, namedtuple

import attrs
import numpy as np
import pytest
from helpers import WATCHDOG_S
from tree_cases import (
    FrozenSensor,
    FrozenState,
    Point,
    Sensor,
    State,
    Transition,
    assert_same_tree,
    one_of_everything,
)

from treequeues import ArrayQueue, SchemaError, TreeQueue


def carry(tree, example=None, out=None):
    """Put a tree into a queue of the example's schema (its own by default), and get it back."""
    with TreeQueue(tree if example is None else example, maxsize=2) as queue:
        queue.put(tree, timeout=WATCHDOG_S)
        return queue.get(timeout=WATCHDOG_S, out=out)


def misfit_of(example, tree, of=SchemaError):
    """The message with which a queue of this example refuses a tree; it goes on working."""
    with TreeQueue(example, maxsize=1) as queue:
        with pytest.raises(of) as caught:
            queue.put(tree, timeout=WATCHDOG_S)
        assert queue.empty()
        queue.put(example, timeout=WATCHDOG_S)
        assert_same_tree(queue.get(timeout=WATCHDOG_S), example)
    return str(caught.value)


def refusal_of(example, of=TypeError):
    with pytest.raises(of) as caught:
        TreeQueue(example, maxsize=1)
    return str(caught.value)


# Containers.


def test_a_tree_of_everything_comes_back_the_same():
    assert_same_tree(carry(one_of_everything()), one_of_everything())


def test_a_dict_is_matched_by_key_and_comes_back_in_the_examples_order():
    example = {"z": 0, "a": 0.0, "m": np.zeros(2)}
    got = carry({"m": np.array([5.0, 6.0]), "a": 2.0, "z": 1}, example)
    assert_same_tree(got, {"z": 1, "a": 2.0, "m": np.array([5.0, 6.0])})


def test_keys_are_matched_by_value_and_not_by_identity():
    keys = ["".join(["le", "ft"]), "".join(["ri", "ght"])]
    assert carry(dict(zip(keys, (1, 2), strict=True)), {"left": 0, "right": 0}) == {
        "left": 1,
        "right": 2,
    }


def test_keys_may_be_of_every_hashable_builtin_type():
    keys = ["", "a.b", "é\n'", -1, 2**100, 0.1, -0.0, True, None, b"\x00", (), ("a", (1, (None,)))]
    got = carry(dict.fromkeys(keys, 5), dict.fromkeys(keys, 0))
    assert_same_tree(got, dict.fromkeys(keys, 5))
    assert [type(key) for key in got] == [type(key) for key in keys]


def test_a_key_that_is_nan_is_matched_although_it_equals_nothing():
    ((key, value),) = carry({float("nan"): 5}, {float("nan"): 0}).items()
    assert key != key and value == 5


@pytest.mark.parametrize(
    "example", [{"b": 1, "a": 2}, OrderedDict(b=1, a=2), defaultdict(int, b=1, a=2)]
)
@pytest.mark.parametrize(
    "value",
    [{"a": 4, "b": 3}, OrderedDict(a=4, b=3), defaultdict(list, a=4, b=3), Counter(a=4, b=3)],
)
def test_any_dict_may_be_put_and_the_examples_kind_comes_back(example, value):
    got = carry(value, example)
    assert type(got) is type(example) and list(got.items()) == [("b", 3), ("a", 4)]


def test_an_ordered_dict_keeps_the_order_that_it_was_moved_to():
    example = OrderedDict(a=1, b=2, c=3)
    example.move_to_end("a")
    got = carry(example)
    assert list(got) == ["b", "c", "a"]
    got.move_to_end("b")
    assert list(got) == ["c", "a", "b"]


def test_a_default_dict_comes_back_with_its_factory():
    got = carry(defaultdict(list, key=1))
    assert got["new"] == []


def test_a_default_dict_without_a_factory_has_none():
    assert carry(defaultdict(None, key=1)).default_factory is None


@pytest.mark.parametrize("factory", [lambda: 1, np.zeros, type("Local", (), {})])
def test_a_factory_that_no_other_process_could_find_is_refused_by_path(factory):
    with pytest.raises(
        TypeError, match=r"^in: the default_factory of a defaultdict, .*, would be lost"
    ):
        TreeQueue({"in": defaultdict(factory, key=1)}, 1)


@pytest.mark.parametrize("tree", [None, {}, [], (), {"a": {}, "b": [(), None]}])
def test_a_tree_without_leaves_is_an_item_too(tree):
    assert_same_tree(carry(tree), tree)


def test_a_dataclass_comes_back_without_running_its_init_again():
    @dataclasses.dataclass
    class Scaled:
        pixels: np.ndarray
        scale: float = dataclasses.field(init=False)

        def __post_init__(self):
            self.pixels = self.pixels / 255
            self.scale = 255.0

    got = carry(Scaled(np.full(3, 51.0)), Scaled(np.zeros(3)))
    assert_same_tree(got, Scaled(np.full(3, 51.0)))


@pytest.mark.parametrize(
    ("example", "tree"),
    [
        (State(0, 0.0), State(1, 2.0)),
        (FrozenState(np.zeros(2), velocity=0), FrozenState(np.ones(2), velocity=3)),
        (Sensor(0, False), Sensor(1, True)),
        (FrozenSensor(np.float32(0)), FrozenSensor(np.float32(2))),
        (Transition(0, 0), Transition(1, 2)),
        (Point(0, [0]), Point(1, [2])),
    ],
)
def test_objects_of_classes_with_fields_come_back_as_such(example, tree):
    assert_same_tree(carry(tree, example), tree)


def test_an_object_of_a_subclass_without_further_fields_fits_its_base_class():
    class Still(State):
        pass

    assert_same_tree(carry(Still(1, 2), State(0, 0)), State(1, 2))


def test_an_object_of_a_subclass_with_further_fields_is_refused():
    @dataclasses.dataclass
    class Spinning(State):
        spin: float = 0.0

    assert "expected a State, got a" in misfit_of(State(0, 0), Spinning(1, 2, 3.0), TypeError)


def test_a_named_tuple_of_another_class_is_refused():
    other = namedtuple("Point", "x y")
    message = misfit_of({"at": Point(0, 0)}, {"at": other(1, 2)}, TypeError)
    assert message == f"at: expected a tree_cases.Point, got a {__name__}.Point"


@pytest.mark.parametrize(
    ("example", "tree", "message"),
    [
        ({"a": [1]}, {"a": (1,)}, "a: expected a list, got a tuple"),
        ({"a": (1,)}, {"a": [1]}, "a: expected a tuple, got a list"),
        ({"a": (1, 2)}, {"a": Point(1, 2)}, "a: expected a tuple, got a Point"),
        ({"a": Point(1, 2)}, {"a": (1, 2)}, "a: expected a Point, got a tuple"),
        ({"a": {"b": 1}}, {"a": [1]}, "a: expected a dict, got a list"),
        ({"a": {"b": 1}}, {"a": UserDict(b=1)}, "a: expected a dict, got a UserDict"),
        ({"a": None}, {"a": 0}, "a: expected None, got the int 0"),
        ({"a": 0}, {"a": None}, "a: expected an int, got None"),
        ({"a": State(1, 2)}, {"a": {"position": 1, "velocity": 2}}, "a: expected a State"),
        ({"a": np.zeros(3)}, {"a": [0.0, 0.0, 0.0]}, "a: expected float64 (3,), got a list"),
        (np.zeros(3), "text", "(root): expected float64 (3,), got a str"),
    ],
)
def test_another_type_of_container_or_leaf_is_a_type_error_by_path(example, tree, message):
    assert misfit_of(example, tree, TypeError).startswith(message)


@pytest.mark.parametrize(
    ("example", "tree", "message"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, "(root): missing key 'b'"),
        ({"a": {"b": 1}}, {"a": {"b": 1, 3: 2}}, "a: unexpected key 3"),
        ({"a": 1, "b": 2}, {"a": 1, "c": 2}, "(root): missing key 'b'; unexpected key 'c'"),
        (
            dict.fromkeys("abcdefgh", 1),
            {},
            "(root): missing keys 'a', 'b', 'c', 'd', 'e' and 3 more",
        ),
        ([[1, 2]], [[1]], "[0]: expected a list of length 2, got one of length 1"),
        ((1,), (1, 2, 3), "(root): expected a tuple of length 1, got one of length 3"),
    ],
)
def test_missing_and_unexpected_children_are_named(example, tree, message):
    assert misfit_of(example, tree).startswith(message)


def test_a_field_that_was_never_set_is_a_misfit():
    tree = State(1, 2)
    del tree.velocity
    assert "(root): expected a field velocity, got a State that has none; set it" in misfit_of(
        State(0, 0), tree
    )


def test_paths_lead_through_every_kind_of_container():
    def tree(leaf):
        return {"a": [(State(0, {"x y": {("k", 1): FrozenSensor(Transition(0, leaf))}}),)]}

    message = misfit_of(tree(np.zeros(2)), tree(np.zeros(3)))
    assert message.startswith(
        "a[0][0].velocity['x y'][('k', 1)].reading.action: expected float64 (2,), got float64 (3,)"
    )


def test_ten_thousand_leaves_are_carried():
    tree = {f"group {i}": [np.full(3, i), float(i)] for i in range(5000)}
    assert_same_tree(carry(tree), tree)


def random_tree(rng, depth=0):
    """Two trees of one random structure, whose leaves differ."""
    if depth == 5 or rng.random() < 0.3:
        dtype = np.dtype(rng.choice(DTYPES))
        shape = tuple(rng.choice([0, 1, 2, 3]) for _ in range(rng.randrange(4)))
        leaves = [
            (np.zeros(shape, dtype), array_of(dtype, shape)),
            (0, rng.randrange(-(2**63), 2**63)),
            (0.0, rng.gauss(0, 1)),
            (False, True),
            (None, None),
        ]
        return rng.choice(leaves)
    children = [random_tree(rng, depth + 1) for _ in range(rng.randrange(4))]
    pairs = [random_tree(rng, depth + 1) for _ in range(2)]
    keys = rng.sample([*"abcdef", 1, -1.5, None, b"b", ("a", 2)], len(children))
    make = rng.choice(
        [
            lambda side: dict(zip(keys, (child[side] for child in children), strict=True)),
            lambda side: OrderedDict(zip(keys, (child[side] for child in children), strict=True)),
            lambda side: [child[side] for child in children],
            lambda side: tuple(child[side] for child in children),
            lambda side: Point(*(pair[side] for pair in pairs)),
            lambda side: State(*(pair[side] for pair in pairs)),
            lambda side: Sensor(*(pair[side] for pair in pairs)),
        ]
    )
    return make(0), make(1)


def test_random_trees_are_carried(rng):
    for _ in range(200):
        example, tree = random_tree(rng)
        assert_same_tree(carry(tree, example), tree)


def nested(depth):
    tree = np.arange(3)
    for level in range(depth):
        tree = {"in": tree} if level % 2 else [tree]
    return tree


def test_a_hundred_levels_are_carried():
    assert_same_tree(carry(nested(100)), nested(100))


def contains_itself():
    tree = {"a": [0]}
    tree["a"].append(tree)
    return tree


@pytest.mark.parametrize("example", [nested(101), nested(1000), contains_itself()])
def test_too_deep_a_tree_is_refused_with_the_limit(example):
    assert "100 levels" in refusal_of(example, SchemaError)


def test_a_value_of_any_depth_is_refused_where_it_leaves_the_schema():
    assert misfit_of({"in": [1]}, {"in": [nested(100_000)]}, TypeError).startswith("in[0]: ")


@pytest.mark.parametrize("tree", [Counter(a=1), UserDict(a=1), {1, 2}, object()])
def test_an_unknown_container_points_to_register_node(tree):
    message = refusal_of({"in": [tree]})
    assert message.startswith("in[0]: ") and "register_node" in message


class Color(enum.Enum):
    RED = 1


@pytest.mark.parametrize("key", [Color.RED, np.int64(1), frozenset(), ("a", object()), "\ud800"])
def test_an_unsupported_key_is_refused_by_path(key):
    message = refusal_of({"in": {key: 1}})
    assert message.startswith("in: a key ") and "register_node" in message


# Array leaves.

RECORD = np.dtype([("x", "f4"), ("pair", [("a", ">i2"), ("b", "S3", (2, 2))])])
DTYPES = [
    *("bool", "int8", "uint16", "int32", "uint64", "float16", "float32", "float64"),
    *("longdouble", "complex64", "complex128", "clongdouble"),
    *("M8[ns]", "M8[D]", "M8", "m8[25us]", "S5", "U3", "V4"),
    *(">i2", ">f8", ">c8", ">M8[us]", ">U4"),
    RECORD,
    np.dtype([("a", "i1"), ("b", "f8")], align=True),
    np.dtype({"names": ["b", "a"], "formats": ["i4", "i2"], "offsets": [4, 4], "itemsize": 16}),
    np.dtype([(("title", "name"), "f4")]),
]


def array_of(dtype, shape=(3, 4)):
    """An array with different elements, of any dtype."""
    dtype = np.dtype(dtype)
    values = np.arange(1, 1 + int(np.prod(shape)), dtype=np.uint8).reshape(shape)
    if dtype.names:
        array = np.zeros(shape, dtype)
        for name in dtype.names:
            field = dtype[name]
            array[name] = array_of(field.base, (*shape, *field.shape))
        return array
    if dtype.kind in "mM":
        return values.astype("i8").astype(dtype.newbyteorder("=")).astype(dtype)
    if dtype.kind == "V":
        return np.repeat(values, dtype.itemsize).view(dtype).reshape(shape)
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_of_fixed_size_is_carried(dtype):
    array = array_of(dtype)
    got = carry(array, np.zeros_like(array))
    assert got.dtype == array.dtype and got.shape == array.shape
    assert (got == array).all()


EXTENSION_DTYPES = (
    "bfloat16 float8_e3m4 float8_e4m3 float8_e4m3b11fnuz float8_e4m3fn float8_e4m3fnuz float8_e5m2 "
    "float8_e5m2fnuz float8_e8m0fnu float6_e2m3fn float6_e3m2fn float4_e2m1fn int1 uint1 int2 "
    "uint2 int4 uint4 complex32 bcomplex32"
)


@pytest.mark.parametrize("name", EXTENSION_DTYPES.split())
def test_the_dtypes_of_ml_dtypes_are_carried(name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    if not hasattr(ml_dtypes, name):
        pytest.skip(f"this version of ml_dtypes has no {name}")

    def tree(value):
        array = np.full((2, 3), value).astype(getattr(ml_dtypes, name))
        return {"array": array, "zero-d": array[:1, 0].reshape(()), "scalar": array[0, 0]}

    assert_same_tree(carry(tree(1), tree(0.5)), tree(1))


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0, 2), (1, 1, 1), (2,) * 20])
def test_arrays_of_every_shape_are_carried(shape):
    array = array_of("uint8", shape)
    assert_same_tree(carry(array, np.zeros_like(array)), array)


def test_what_comes_back_is_a_plain_writable_contiguous_array_that_owns_its_memory():
    got = carry({"a": np.zeros((3, 4), order="F")[::2]})["a"]
    assert type(got) is np.ndarray
    assert got.flags.c_contiguous and got.flags.writeable and got.flags.aligned
    assert got.base is None or got.base.base is None
    got[...] = 1


NON_CONTIGUOUS = {
    "every second": np.arange(24).reshape(4, 6)[::2, ::2],
    "reversed": np.arange(24).reshape(4, 6)[::-1, ::-1],
    "transposed": np.arange(24).reshape(2, 3, 4).T,
    "in Fortran's order": np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
    "moved axis": np.moveaxis(np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4), 0, -1),
    "broadcast": np.broadcast_to(np.arange(3.0), (4, 3)),
    "inner slices": np.arange(5 * 6 * 7).reshape(5, 6, 7)[1:4, ::3, 2:5],
    "one column": np.arange(24, dtype=np.uint16).reshape(4, 6)[:, 3],
    "a field": np.zeros(5, [("x", "i1"), ("y", "f8")])["y"],
    "unaligned": np.frombuffer(bytes(range(1, 26)), np.uint8)[1:].view("f8"),
    "empty": np.zeros((4, 0, 6))[::2],
    "zero-d": np.arange(24)[13:14].reshape(()),
    "strings": np.array([["ab", "c"], ["d", "efg"]]).T,
}


@pytest.mark.parametrize("name", NON_CONTIGUOUS)
def test_non_contiguous_arrays_are_carried(name):
    array = NON_CONTIGUOUS[name]
    got = carry({"a": array}, {"a": np.zeros(array.shape, array.dtype)})["a"]
    assert_same_tree(got, np.array(array))


@pytest.mark.parametrize("name", NON_CONTIGUOUS)
def test_non_contiguous_arrays_can_be_examples(name):
    array = NON_CONTIGUOUS[name]
    assert_same_tree(carry({"a": array})["a"], np.array(array))


def test_random_views_are_carried(rng):
    numpy_rng = np.random.default_rng(rng.randrange(2**32))
    for _ in range(100):
        base = numpy_rng.integers(0, 256, numpy_rng.integers(0, 9, rng.randrange(5)), np.uint8)
        base = base.astype(rng.choice(["u1", "i2", ">f4", "f8", "c16", "S3"]))
        steps = [
            slice(rng.choice([None, 1]), None, rng.choice([1, 2, 3, -1, -2])) for _ in base.shape
        ]
        # The ellipsis keeps an array without dimensions an array.
        view = base[(*steps, ...)].transpose(numpy_rng.permutation(base.ndim))
        assert_same_tree(carry({"a": view})["a"], np.array(view))


def test_read_only_arrays_are_carried_and_come_back_writable():
    array = np.arange(3)
    array.flags.writeable = False
    got = carry(array)
    assert_same_tree(got, np.arange(3))
    assert got.flags.writeable


def test_equal_dtypes_fit_whatever_they_are_called():
    assert_same_tree(carry(np.array([5], "q"), np.zeros(1, "l")), np.array([5], "l"))


@pytest.mark.parametrize(
    ("example", "tree", "message"),
    [
        (
            np.zeros((84, 84), "u1"),
            np.zeros((84, 84, 3), "f4"),
            "uint8 (84, 84), got float32 (84, 84, 3)",
        ),
        (np.zeros(3), np.zeros(3, "f4"), "float64 (3,), got float32 (3,)"),
        (np.zeros(3), np.zeros(3, ">f8"), "float64 (3,), got >f8 (3,)"),
        (np.zeros(1), np.zeros(()), "float64 (1,), got float64 ()"),
        (np.zeros(()), np.zeros(1), "float64 (), got float64 (1,)"),
        (np.zeros(0), np.zeros((0, 3)), "float64 (0,), got float64 (0, 3)"),
        (
            np.zeros(2, "M8[s]"),
            np.zeros(2, "M8[ms]"),
            "datetime64[s] (2,), got datetime64[ms] (2,)",
        ),
        (np.zeros(2, "U3"), np.zeros(2, "U4"), "U3 (2,), got U4 (2,)"),
        (
            np.zeros(1, [("x", "i4")]),
            np.zeros(1, [("y", "i4")]),
            "{x: int32} (1,), got {y: int32} (1,)",
        ),
        (np.zeros(3), np.zeros(3, object), "float64 (3,), got object (3,)"),
        (np.zeros(3), np.float64(1), "float64 (3,), got the float64 1.0"),
    ],
)
def test_another_shape_or_dtype_is_refused_with_both(example, tree, message):
    text = misfit_of({"obs": {"left": example}}, {"obs": {"left": tree}})
    assert text.startswith(f"obs.left: expected {message}")


@pytest.mark.parametrize(
    "example",
    [np.zeros(2, object), np.array([{}]), np.zeros(2, [("x", "i4"), ("y", object)])],
)
def test_arrays_of_objects_are_refused_by_path(example):
    message = refusal_of({"in": [example]})
    assert message.startswith("in[0]: ") and "object" in message


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="this NumPy has no StringDType")
def test_strings_of_variable_length_are_refused():
    message = refusal_of({"in": np.array(["a"], np.dtypes.StringDType())})
    assert message.startswith("in: strings of variable length") and "U20" in message
    record = np.dtype([("x", "i4")])
    assert "variable length" not in refusal_of({"in": np.zeros(2, [("x", record), ("y", "O")])})


class Quantity(np.ndarray):
    unit = "m"


def test_masked_arrays_are_refused_because_their_mask_would_be_lost():
    masked = np.ma.masked_array([1.0, 2.0], [True, False])
    assert "mask" in refusal_of({"in": masked})
    assert "mask" in misfit_of({"in": np.zeros(2)}, {"in": masked}, TypeError)


def test_subclasses_of_other_packages_are_refused_because_what_they_add_would_be_lost():
    quantity = np.zeros(2).view(Quantity)
    assert "register_node" in refusal_of({"in": quantity})
    assert "np.asarray" in misfit_of({"in": np.zeros(2)}, {"in": quantity}, TypeError)


def test_numpys_own_subclasses_come_back_as_plain_arrays(tmp_path):
    mapped = np.memmap(tmp_path / "file", np.float64, "w+", shape=(2, 2))
    for array in [mapped, np.eye(2).view(np.matrix), np.eye(2).view(np.recarray)]:
        assert_same_tree(carry(array), np.array(array).view(np.ndarray))


class ShapeAndDtype:
    def __init__(self, shape, dtype):
        self.shape, self.dtype = shape, dtype


def test_anything_with_a_shape_and_a_dtype_can_be_an_example():
    example = {"a": ShapeAndDtype((2, 3), "float32"), "b": ShapeAndDtype([], np.dtype("i4"))}
    tree = {"a": np.ones((2, 3), np.float32), "b": np.array(3, np.int32)}
    assert_same_tree(carry(tree, example), tree)


def test_a_subarray_dtype_adds_its_dimensions():
    example = ShapeAndDtype((2,), np.dtype((np.float32, (3,))))
    tree = np.ones((2, 3), np.float32)
    assert_same_tree(carry(tree, example), tree)


@pytest.mark.parametrize("spec", [ShapeAndDtype(None, None), ShapeAndDtype((2,), "no dtype")])
def test_a_shape_or_dtype_that_is_none_is_refused(spec):
    assert refusal_of({"in": spec}).startswith("in: ")


class ArrayLike:
    """An array of another library, as NumPy sees it."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return self._array


class InterfaceOnly:
    def __init__(self, array):
        self._array = array
        self.__array_interface__ = array.__array_interface__


class DLPackOnly:
    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


@pytest.mark.parametrize("wrap", [ArrayLike, InterfaceOnly, DLPackOnly])
def test_arrays_of_other_libraries_are_carried_where_shape_and_dtype_match(wrap):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert_same_tree(carry(wrap(array), np.zeros_like(array)), array)
    assert_same_tree(carry(wrap(array)), array)
    message = misfit_of({"in": np.zeros((2, 3))}, {"in": wrap(array)})
    assert message.startswith("in: expected float64 (2, 3), got float32 (2, 3)")


def test_an_array_that_cannot_be_read_is_refused_with_the_cause():
    class Elsewhere:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("it is on another device")

    with TreeQueue({"in": np.zeros(2)}, maxsize=1) as queue:
        with pytest.raises(SchemaError, match=r"^in: .* that gives no array") as caught:
            queue.put({"in": Elsewhere()}, timeout=WATCHDOG_S)
        assert isinstance(caught.value.__cause__, RuntimeError)


# Scalars.


@pytest.mark.parametrize(
    ("example", "values"),
    [
        (False, [True, False]),
        (0, [1, -(2**63), 2**63 - 1, True]),
        (0.0, [1.5, -0.0, float("inf"), float("nan"), 3, 2**53, True]),
        (0j, [1 + 2j, complex(-0.0, float("inf")), 2.5, 3, False]),
    ],
)
def test_python_scalars_come_back_as_the_examples_type(example, values):
    for value in values:
        assert_same_tree(carry({"a": value}, {"a": example}), {"a": type(example)(value)})


@pytest.mark.parametrize(
    ("example", "value", "expected"),
    [
        (False, np.True_, True),
        (0, np.int64(-5), -5),
        (0.0, np.float64(0.1), 0.1),
        (0j, np.complex128(1 + 2j), 1 + 2j),
        (0, np.array(7), 7),
        (0.0, np.array(0.25), 0.25),
    ],
)
def test_numpy_scalars_and_arrays_of_the_same_dtype_fit_a_python_scalar(example, value, expected):
    assert_same_tree(carry(value, example), expected)


class Action(enum.IntEnum):
    LEFT = 3


def test_an_int_enum_is_an_int_to_put_but_no_example():
    assert_same_tree(carry({"action": Action.LEFT}, {"action": 0}), {"action": 3})
    assert "int(" in refusal_of({"action": Action.LEFT})


@pytest.mark.parametrize(
    ("example", "value", "message"),
    [
        (0, 2**63, "an int from -9223372036854775808 to 9223372036854775807 (int64)"),
        (0, -(2**63) - 1, "an int from -9223372036854775808 to 9223372036854775807 (int64)"),
        (0, 2**9999, "an int from -9223372036854775808 to 9223372036854775807 (int64)"),
        (np.int8(0), 128, "an int from -128 to 127 (int8), got the int 128"),
        (np.zeros((), "u4"), -1, "an int from 0 to 4294967295 (uint32), got the int -1"),
        (np.zeros((), ">u2"), 2**16, "an int from 0 to 65535 (>u2), got the int 65536"),
        (0.0, 2**53 + 1, "a number that float64 represents exactly, got the int 9007199254740993"),
        (np.float32(0), 2**24 + 1, "a number that float32 represents exactly"),
        (np.float32(0), 1e39, "a number within the range of float32, got the float 1e+39"),
        (np.zeros((), "f2"), 65520.0, "a number within the range of float16"),
        (np.zeros((), "f2"), 2049, "a number that float16 represents exactly"),
        (np.complex64(0), complex(0, 1e39), "a number within the range of complex64"),
    ],
)
def test_a_scalar_out_of_range_is_refused_with_the_range(example, value, message):
    text = misfit_of({"in": example}, {"in": value})
    assert text.startswith(f"in: expected {message}")


@pytest.mark.parametrize(
    ("example", "value", "message"),
    [
        (False, 1.0, "a bool, got the float 1.0"),
        (0, 1.0, "an int, got the float 1.0"),
        (0, "1", "an int, got a str"),
        (0.0, 1j, "a float, got the complex 1j"),
        (np.int32(0), 0.5, "an int32 scalar, got the float 0.5"),
        (np.zeros((), "f2"), 1j, "float16 (), got the complex 1j"),
        (np.datetime64("2026", "D"), 5, "a datetime64[D] scalar, got the int 5"),
        (np.zeros(()), [0.0], "float64 (), got a list"),
    ],
)
def test_a_scalar_of_another_family_is_a_type_error(example, value, message):
    text = misfit_of({"in": example}, {"in": value}, TypeError)
    assert text.startswith(f"in: expected {message}")


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("bool", [True]),
        ("uint8", [0, 255, True]),
        ("int16", [-32768]),
        ("uint64", [2**64 - 1]),
        ("float16", [0.1, 65504, float("nan")]),
        ("float32", [0.1, 2**24, float("-inf"), 1e-60]),
        ("longdouble", [0.5, 2**53]),
        ("complex64", [1j, 0.1, 5]),
        ("clongdouble", [1j, 5]),
        (">i4", [-(2**31)]),
        (">f4", [0.1, 7]),
    ],
)
def test_python_scalars_fit_arrays_without_dimensions_and_numpy_scalars(dtype, values):
    for value in values:
        expected = np.array(value, dtype)
        assert_same_tree(carry(value, np.zeros((), dtype)), expected)
        if expected.dtype.isnative:
            assert_same_tree(carry(value, np.zeros((), dtype)[()]), expected[()])


def test_the_numbers_of_ml_dtypes_take_python_scalars_that_fit():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    small = np.zeros((), ml_dtypes.int4)
    assert int(carry({"a": -8}, {"a": small})["a"]) == -8
    assert "an int from -8 to 7 (int4)" in misfit_of({"a": small}, {"a": 8})
    half = np.zeros((), ml_dtypes.bfloat16)
    assert float(carry({"a": 0.5}, {"a": half})["a"]) == 0.5
    assert "within the range of bfloat16" in misfit_of({"a": half}, {"a": 1e300})
    assert "exactly" in misfit_of({"a": half}, {"a": 257})
    no_infinity = np.zeros((), ml_dtypes.float8_e4m3fn)
    assert "within the range" in misfit_of({"a": no_infinity}, {"a": float("inf")})


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numpy_scalars_come_back_as_numpy_scalars(dtype):
    array = array_of(np.dtype(dtype).newbyteorder("="))
    tree, example = {"a": array[1, 1]}, {"a": array[0, 0]}
    got = carry(tree, example)["a"]
    assert type(got) is type(tree["a"]) and got.dtype == tree["a"].dtype and got == tree["a"]


def test_numpy_scalars_fit_arrays_without_dimensions():
    assert_same_tree(carry(np.float32(0.1), np.zeros((), np.float32)), np.array(0.1, np.float32))
    assert_same_tree(carry(np.float32(0.1), np.zeros((), ">f4")), np.array(0.1, ">f4"))
    stamp = np.datetime64("2026-01-02")
    assert_same_tree(carry(stamp, np.zeros((), "M8[D]")), np.array(stamp))


def test_a_numpy_string_may_be_shorter_than_the_example():
    assert carry(np.str_("ab"), np.str_("longest")) == np.str_("ab")
    assert carry(np.str_(""), np.str_("longest")) == np.str_("")
    assert carry(np.bytes_(b"ab"), np.bytes_(b"longest")) == np.bytes_(b"ab")
    assert "U2" in misfit_of({"a": np.str_("ab")}, {"a": np.str_("abc")})


@pytest.mark.parametrize("leaf", ["text", b"bytes", bytearray(2), memoryview(b"ab")])
def test_text_and_bytes_are_refused_by_path(leaf):
    assert refusal_of({"in": [leaf]}).startswith("in[0]: ")


def test_text_points_to_a_fixed_size():
    assert "dtype=" in refusal_of({"in": "text"})


def test_an_int_in_the_example_must_fit_an_int64():
    assert "in: " in refusal_of({"in": 2**63}, SchemaError)


# A queue of one array.


def test_an_array_queue_carries_arrays_of_every_dtype():
    for dtype in DTYPES:
        array = array_of(dtype)
        with ArrayQueue(array, 1) as queue:
            queue.put(array, timeout=WATCHDOG_S)
            assert (queue.get(timeout=WATCHDOG_S) == array).all()


# out=


def test_out_is_filled_and_returned():
    tree = one_of_everything()
    with TreeQueue(tree, maxsize=1) as queue:
        queue.put(tree, timeout=WATCHDOG_S)
        first = queue.get(timeout=WATCHDOG_S)
        first["obs"]["left"][...] = 99
        frame = first["obs"]["left"]
        # Scalars in named tuples and frozen classes cannot be replaced: arrays stand in for them.
        first["transition"] = Transition(np.zeros(3), Point(np.array(0), (np.array(True),)))
        first["state"].velocity[0] = FrozenState(np.zeros((0, 3)), velocity=np.zeros(()))
        first["sensor"] = Sensor(np.array(0, "M8[ns]"), FrozenSensor(np.zeros((), "i2")))
        queue.put(tree, timeout=WATCHDOG_S)
        got = queue.get(timeout=WATCHDOG_S, out=first)
    assert got is first and got["obs"]["left"] is frame
    assert (frame == tree["obs"]["left"]).all()
    assert got["transition"].action.y[0] == np.False_
    assert repr(float(got["state"].velocity[0].velocity)) == "-0.0"
    for name in ["obs", "a b", "ordered", "default", 3]:
        assert_same_tree(got[name], tree[name])


def test_scalars_of_out_are_replaced_in_dicts_lists_and_fields():
    def tree(value):
        return {"a": value, "b": [value, State(float(value), {"c": np.int8(value)})]}

    out = tree(0)
    got = carry(tree(5), tree(0), out=out)
    assert got is out
    assert_same_tree(out, tree(5))


@pytest.mark.parametrize(
    ("out", "path"),
    [((1.0,), "[0]"), (Point(1.0, 2.0), "x"), (FrozenState(1.0), "position"), (1.0, "(root)")],
)
def test_scalars_of_out_that_cannot_be_replaced_are_refused_with_the_mend(out, path):
    with TreeQueue(out, maxsize=1) as queue:
        queue.put(out, timeout=WATCHDOG_S)
        with pytest.raises(SchemaError) as caught:
            queue.get(timeout=WATCHDOG_S, out=out)
        assert str(caught.value).startswith(f"{path}: ") and "np.zeros(()" in str(caught.value)
        assert_same_tree(queue.get(timeout=WATCHDOG_S), out)


def test_an_array_without_dimensions_stands_in_for_a_scalar_of_out():
    out = Point(np.zeros(()), np.zeros((), bool))
    got = carry(Point(2.5, True), Point(0.0, False), out=out)
    assert got is out and out.x == 2.5 and out.y == np.True_


@pytest.mark.parametrize(
    "name", [name for name in NON_CONTIGUOUS if name not in ("broadcast", "unaligned")]
)
def test_non_contiguous_arrays_of_out_are_filled(name):
    array = NON_CONTIGUOUS[name]
    wide = np.zeros(tuple(2 * length for length in array.shape), array.dtype)
    out = wide[(*(slice(None, None, -2) for _ in array.shape), ...)]
    got = carry({"a": np.array(array)}, out={"a": out})["a"]
    assert got is out
    assert_same_tree(np.array(out), np.array(array))


def read_only():
    array = np.zeros(3)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ({"a": np.zeros(4)}, "a: expected float64 (3,), got float64 (4,)"),
        ({"a": np.zeros(3, "f4")}, "a: expected float64 (3,), got float32 (3,)"),
        ({"a": [0.0, 0.0, 0.0]}, "a: expected float64 (3,), got a list"),
        ({"a": ArrayLike(np.zeros(3))}, "a: expected float64 (3,), got an ArrayLike"),
        ({"a": read_only()}, "a: expected a writable array, got a read-only one"),
        ({"b": np.zeros(3)}, "(root): missing key 'a'; unexpected key 'b'"),
        ([np.zeros(3)], "(root): expected a dict, got a list"),
    ],
)
def test_an_out_that_does_not_fit_is_refused_and_the_item_stays(out, message):
    with TreeQueue({"a": np.zeros(3)}, maxsize=1) as queue:
        queue.put({"a": np.arange(3.0)}, timeout=WATCHDOG_S)
        with pytest.raises(SchemaError) as caught:
            queue.get(timeout=WATCHDOG_S, out=out)
        assert str(caught.value).startswith(message)
        assert_same_tree(queue.get(timeout=WATCHDOG_S), {"a": np.arange(3.0)})


# What a tree leaves behind.


def test_a_queue_holds_no_reference_to_what_was_put():
    array, tree = np.zeros(3), [0]
    tree.append(array)
    with TreeQueue(tree, maxsize=2) as queue:
        before = sys.getrefcount(array), sys.getrefcount(tree)
        queue.put(tree, timeout=WATCHDOG_S)
        assert (sys.getrefcount(array), sys.getrefcount(tree)) == before


def test_refused_puts_leak_nothing():
    array = np.zeros(3)
    with TreeQueue([np.zeros(3), 0], maxsize=2) as queue:
        before = sys.getrefcount(array)
        for _ in range(100):
            with pytest.raises(SchemaError):
                queue.put([array, "text"], timeout=WATCHDOG_S)
        assert sys.getrefcount(array) == before


@attrs.define
class Checked:
    reading: float = attrs.field(validator=attrs.validators.instance_of(float))


def test_an_attrs_class_with_validators_is_carried():
    assert_same_tree(carry(Checked(2.0), Checked(0.0)), Checked(2.0))

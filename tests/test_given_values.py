"""What users hand in: scalars, strings and buffers, by their value; and what to pass instead."""

import array
import datetime
import enum
import math
import mmap
from collections import UserDict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from helpers import WATCHDOG_S
from tree_cases import Point, State, assert_same_tree

from treequeues import SchemaError, TreeQueue


def carry(value, example):
    with TreeQueue({"in": example}, maxsize=1) as queue:
        queue.put({"in": value}, timeout=WATCHDOG_S)
        return queue.get(timeout=WATCHDOG_S)["in"]


def misfit_of(value, example):
    """The message with which a value is refused, without its path; nothing was put."""
    with TreeQueue({"in": example}, maxsize=1) as queue:
        with pytest.raises(SchemaError) as caught:
            queue.put({"in": value}, timeout=WATCHDOG_S)
        assert queue.empty()
    path, message = str(caught.value).split(": ", 1)
    assert path == "in"
    return message


# Numbers.

NUMBERS = [
    "?",
    "i1",
    "u1",
    "i2",
    "u2",
    "i4",
    "u4",
    "i8",
    "u8",
    "f2",
    "f4",
    "f8",
    "g",
    "F",
    "D",
    "G",
]
FAMILY = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}
VALUES = {
    "b": [False, True],
    "i": [0, 1, 2, -1, 127, -128, 2**31 - 1, -(2**31), 2**53 + 1, -(2**63), 2**63 - 1, 2**24 + 1],
    "u": [0, 1, 2, 255, 2**16 - 1, 2**32 - 1, 2**64 - 1, 2**53 + 1, 2**24 + 1],
    "f": [0.0, -0.0, 0.5, 0.1, 65504.0, 1e30, 1e300, math.inf, -math.inf, math.nan],
    "c": [0j, 1 + 2j, complex(0.1, -0.0), complex(math.nan, 1e30), complex(math.inf, 0)],
}


def exact(value, dtype):
    """The value as an element of another dtype, if it is the same number there."""
    source, target = value.dtype, np.dtype(dtype)
    if FAMILY[source.kind] > FAMILY[target.kind]:
        # A bool takes the ints that are bools.
        is_bool = target.kind == "b" and source.kind in "iu" and int(value) in (0, 1)
        return target.type(int(value)) if is_bool else None
    if target.kind in "biu":
        number = int(value)
        if target.kind != "b" and not np.iinfo(target).min <= number <= np.iinfo(target).max:
            return None
        return target.type(number)
    if target.char == "G" and source.kind in "iu" and int(float(value)) != int(value):
        # NumPy makes a Python int of many bits a complex of doubles first.
        return None
    with np.errstate(all="ignore"):
        wide = value.astype("G")
        converted = value.astype(target)
        same = [
            (math.isnan(a) and math.isnan(b)) or a == b
            for a, b in [(wide.real, converted.real), (wide.imag, converted.imag)]
        ]
        if source.kind in "iu" and np.isfinite(converted):
            # Long doubles have every int64.
            same[0] = int(converted.real) == int(value)
    return converted if all(same) else None


def numbers():
    """NumPy scalars of every dtype."""
    for source in map(np.dtype, NUMBERS):
        for number in VALUES[source.kind]:
            with np.errstate(all="ignore"):
                try:
                    yield source.type(number)
                except OverflowError:
                    continue


@pytest.mark.parametrize("target", NUMBERS)
def test_numpy_numbers_are_taken_if_and_only_if_their_family_and_value_fit(target):
    target = np.dtype(target)
    for example in (
        target.type(0),
        np.zeros((), target),
        np.zeros((), target.newbyteorder(">")),
    ):
        with TreeQueue(example, 1) as queue:
            for value in numbers():
                expected = value if value.dtype == target else exact(value, target)
                swapped = np.array(value, value.dtype.newbyteorder(">"))
                for given in (value, np.array(value), swapped):
                    if expected is None:
                        with pytest.raises(SchemaError):
                            queue.put(given, timeout=WATCHDOG_S)
                    else:
                        queue.put(given, timeout=WATCHDOG_S)
                        got = queue.get(timeout=WATCHDOG_S)
                        assert type(got) is type(example)
                        assert_same_number(got, expected)


def assert_same_number(got, expected):
    for part in ("real", "imag"):
        a, b = getattr(got, part), getattr(expected, part)
        assert a == b or (math.isnan(a) and math.isnan(b))
        assert math.copysign(1, a) == math.copysign(1, b) or math.isnan(a)


@pytest.mark.parametrize(
    ("example", "value", "expected"),
    [
        (0.0, np.float32(0.1), float(np.float32(0.1))),
        (0.0, np.float16(0.5), 0.5),
        (0.0, np.longdouble(0.1), 0.1),
        (0.0, np.int8(-3), -3.0),
        (0.0, np.bool_(True), 1.0),
        (0.0, np.float32("nan"), math.nan),
        (0.0, np.array(2.5, "f4"), 2.5),
        (0, np.int32(-5), -5),
        (0, np.uint64(2**63 - 1), 2**63 - 1),
        (0, np.bool_(True), 1),
        (0, np.array(7, "u1"), 7),
        (False, 1, True),
        (False, 0, False),
        (False, np.bool_(True), True),
        (False, np.uint8(1), True),
        (False, np.array(0), False),
        (0j, np.float32(0.5), 0.5 + 0j),
        (0j, np.complex64(1 + 2j), 1 + 2j),
    ],
)
def test_numpy_scalars_that_lose_nothing_fit_python_numbers(example, value, expected):
    got = carry(value, example)
    assert type(got) is type(expected) and repr(got) == repr(expected)


@pytest.mark.parametrize("exponent", [64, 127, 128, 1023])
def test_an_int_of_any_length_that_a_float_represents_exactly_fits(exponent):
    assert carry(2**exponent, 0.0) == 2.0**exponent
    assert carry(-(2**exponent), np.zeros(())) == -(2.0**exponent)
    assert carry(2**exponent, np.zeros((), ">f8")) == 2.0**exponent
    assert carry(2**exponent, 0j) == 2.0**exponent
    if exponent < 128:
        assert carry(2**exponent, np.float32(0)) == 2.0**exponent
    else:
        assert "float32 represents exactly" in misfit_of(2**exponent, np.float32(0))
    assert "represents exactly" in misfit_of(2**exponent + 1, 0.0)
    assert "represents exactly" in misfit_of(2**1024, 0.0)


def test_a_python_float_takes_the_width_of_the_leaf_and_numpys_keep_theirs():
    assert carry(0.1, np.float32(0)) == np.float32(0.1)
    assert carry(np.float64(0.5), np.float32(0)) == np.float32(0.5)
    assert misfit_of(np.float64(0.1), np.float32(0)) == (
        "expected a number that float32 represents exactly, got the float64 0.1; pass np.float32(x)"
    )


def test_the_numbers_of_ml_dtypes_go_both_ways_where_nothing_is_lost():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert carry(ml_dtypes.bfloat16(1.5), 0.0) == 1.5
    assert carry(ml_dtypes.int4(-8), 0) == -8
    assert carry(np.float32(1.5), ml_dtypes.bfloat16(0)) == 1.5
    assert carry(np.int64(7), ml_dtypes.int4(0)) == 7
    assert "(int4)" in misfit_of(np.int64(8), ml_dtypes.int4(0))
    assert "pass ml_dtypes.bfloat16(x)" in misfit_of(np.float32(0.1), ml_dtypes.bfloat16(0))
    assert "expected an int" in misfit_of(ml_dtypes.bfloat16(1), 0)
    if hasattr(ml_dtypes, "complex32"):
        assert complex(carry(1 + 2j, np.zeros((), ml_dtypes.complex32))) == 1 + 2j
        assert carry(np.zeros((), ml_dtypes.bcomplex32), 0j) == 0j


def test_times_fit_where_their_unit_holds_them():
    day = np.datetime64("2026-01-02")
    assert_same_tree(carry(day, np.datetime64(0, "ns")), day.astype("M8[ns]"))
    assert_same_tree(carry(day.astype("M8[ns]"), np.datetime64(0, "D")), day)
    assert_same_tree(carry(day, np.zeros((), ">M8[s]")), np.array(day, ">M8[s]"))
    assert np.isnat(carry(np.datetime64("NaT"), np.datetime64(0, "D")))
    assert_same_tree(
        carry(np.timedelta64(2, "m"), np.timedelta64(0, "s")), np.timedelta64(120, "s")
    )
    assert "a time that" in misfit_of(np.datetime64("2026-01-02T01"), np.datetime64(0, "D"))
    assert "a time that" in misfit_of(np.datetime64(2**40, "D"), np.datetime64(0, "ns"))
    # Without a unit a count is no time, a month has no length, and a time is no number.
    misfit_of(np.timedelta64(5), np.timedelta64(0, "s"))
    misfit_of(np.timedelta64(1, "M"), np.timedelta64(0, "s"))
    misfit_of(np.timedelta64(5, "s"), 0)
    misfit_of(5, np.timedelta64(0, "s"))


class Direction(enum.IntEnum):
    LEFT = 1


def test_enums_count_as_the_ints_that_they_are():
    assert carry(Direction.LEFT, False) is True
    assert carry(Direction.LEFT, 0.0) == 1.0
    assert carry(Direction.LEFT, np.uint8(0)) == np.uint8(1)


def test_scalars_in_out_are_looked_at_by_their_value_too():
    out = {"reward": np.float32(0.5), "done": 0}
    with TreeQueue({"reward": 0.0, "done": False}, 1) as queue:
        queue.put({"reward": 1.5, "done": True})
        assert queue.get(out=out) is out
    assert repr(out) == "{'reward': 1.5, 'done': True}"


# Strings, and buffers.


@pytest.mark.parametrize("example", [np.str_("longer"), np.zeros((), "U6"), np.zeros((), ">U6")])
def test_a_str_fits_where_there_is_room(example):
    for text in ["", "a", "longer", "\0a", "é€😀", "\ud800", np.str_("np")]:
        assert str(carry(text, example)) == text
        assert type(carry(text, example)) is type(example)
    assert str(carry(np.array("ab", "U20"), example)) == "ab"
    assert misfit_of("seven__", example).startswith(
        "expected a str of at most 6 characters ("
    ) and "got a str of 7 characters; an example of dtype U7 has room" in misfit_of(
        "seven__", example
    )
    assert "NUL" in misfit_of("abc\0", example) and "x.rstrip" in misfit_of("abc\0", example)


@pytest.mark.parametrize("example", [np.bytes_(b"longer"), np.zeros((), "S6")])
def test_bytes_fit_where_there_is_room(example):
    for data in [b"", b"a", b"longer", b"\0a", np.bytes_(b"np")]:
        assert np.array(carry(data, example)).item() == data
        assert type(carry(data, example)) is type(example)
    assert np.array(carry(np.array(b"ab", "S20"), example)).item() == b"ab"
    assert misfit_of(b"seven__", example) == (
        "expected a bytes of at most 6 bytes (S6), got a bytes of 7 bytes; "
        "an example of dtype S7 has room"
    )
    message = misfit_of(b"abc\0", example)
    assert "NUL" in message and "np.zeros(4, np.uint8)" in message
    assert "NUL" in misfit_of(np.bytes_(b"abc\0"), example)


def mapped(data):
    memory = mmap.mmap(-1, len(data))
    memory[:] = data
    return memory


BUFFERS = [
    bytes,
    bytearray,
    memoryview,
    lambda data: memoryview(bytes(2 * byte for byte in data for _ in range(2)))[::2],
    lambda data: array.array("B", data),
    mapped,
    lambda data: memoryview(array.array("B", data)),
]


@pytest.mark.parametrize("wrap", BUFFERS)
def test_a_buffer_fits_an_array_of_its_bytes_and_is_copied(wrap):
    buffer = wrap(b"abcd")
    expected = np.array(list(bytes(buffer)), np.uint8)
    assert_same_tree(carry(buffer, np.zeros(4, np.uint8)), expected)
    with TreeQueue({"in": np.zeros(3, np.uint8)}, 1) as queue, pytest.raises(SchemaError):
        queue.put({"in": buffer})
    with TreeQueue({"in": np.zeros((), np.uint8)}, 4) as queue:
        queue.put_batch({"in": buffer})
        assert [queue.get()["in"] for _ in range(4)] == expected.tolist()
    with TreeQueue({"in": np.zeros(4, np.uint8)}, 1) as queue:
        with queue.reserve() as loan:
            loan.tree["in"] = buffer
        assert_same_tree(queue.get()["in"], expected)


def test_a_buffer_is_not_kept():
    buffer = bytearray(4)
    carry(buffer, np.zeros(4, np.uint8))
    # A bytearray that somebody looks into cannot grow.
    buffer.extend(b"more")


def test_a_buffer_of_numbers_is_an_array_of_them():
    assert_same_tree(carry(array.array("f", [1, 2]), np.zeros(2, "f4")), np.array([1, 2], "f4"))
    grid = memoryview(bytes(6)).cast("B", (2, 3))
    assert_same_tree(carry(grid, np.zeros((2, 3), np.uint8)), np.zeros((2, 3), np.uint8))
    assert "int8" in misfit_of(array.array("d", [1]), np.zeros(1, np.int8))


# Mends.


def mends():
    frame = np.zeros((84, 84, 3), np.uint8)
    eight = np.zeros(8)
    return [
        (0, 1.5, "got the float 1.5; pass int(x)"),
        (0, np.float32(1), "got the float32 1.0; pass int(x)"),
        (0, "1", "got a str; pass int(x)"),
        (0, np.array([1]), "got int64 (1,); pass x[0]"),
        (0, np.array([1.5]), "got float64 (1,); pass int(x[0])"),
        (0, np.array([[1]]), "got int64 (1, 1); pass x.item()"),
        (0, [1], "got a list; pass x[0]"),
        (0, np.zeros(3, int), "got int64 (3,); put_batch puts 3 such trees at once"),
        (
            0,
            2**63,
            "an example of np.uint64(0) has room, but for none below 0",
        ),
        (
            np.uint64(0),
            -1,
            "an example of np.int64(0) has room, but for none above 9223372036854775807",
        ),
        (np.uint8(0), -1, "got the int -1; an example of np.int16(0) has room"),
        (np.uint32(0), -1, "an example of np.int64(0) has room"),
        (np.uint8(0), np.int64(-1), "got the int64 -1; an example of np.int16(0) has room"),
        (0, 2**70, "an example of 0.0 has room"),
        (0, 2**70 + 1, "an example of 0.0 has room for float(x), which is rounded"),
        (0, math.nan, "got the float nan; an example of 0.0 carries it"),
        (0, math.inf, "got the float inf; an example of 0.0 carries it"),
        (np.int8(0), 1e30, "got the float 1e+30; an example of 0.0 carries it"),
        (np.int8(0), np.float64("nan"), "got the float64 nan; an example of 0.0 carries it"),
        (0, 1.5 + 0j, "got the complex (1.5+0j); pass int(x.real)"),
        (np.complex64(0), 1e39j, "an example of np.complex128(0) has room"),
        (0.0, Decimal("1.5"), "got a Decimal; pass float(x)"),
        (0.0, Fraction(1, 2), "got a Fraction; pass float(x)"),
        (0.0, None, "got None; every item has a value there, and np.nan can stand for none"),
        (
            0,
            None,
            "got None; every item has a value there; carry a flag that says whether it counts",
        ),
        (np.datetime64(0, "D"), None, "every item has a value there, and NaT can stand for none"),
        (0, {}, "got a dict; an example with a dict there carries one"),
        (0, (1, 2), "got a tuple; an example with a tuple there carries one"),
        (np.zeros(8, "u1"), memoryview(np.zeros(1)), "pass memoryview(x).cast('B')"),
        (np.zeros(8, "u1"), array.array("d", [1]), "pass memoryview(x).cast('B')"),
        (
            np.zeros(1, "u1"),
            memoryview(np.zeros(2))[::2],
            "pass np.asarray(x).astype(np.uint8)",
        ),
        (np.zeros((2, 2)), [1, 2, 3, 4], "pass np.asarray(x, np.float64).reshape(2, 2)"),
        (
            np.zeros(2),
            [1, 2, 3],
            "an example of (3,) has room: pad the others and carry the length",
        ),
        (np.int8(0), 300, "got the int 300; an example of np.int16(0) has room"),
        (0.0, 2**53 + 1, "pass float(x)"),
        (0.0, 1j, "got the complex 1j; pass x.real"),
        (0.0, np.complex64(1), "got the complex64 (1+0j); pass x.real"),
        (0.0, np.array([1.0]), "got float64 (1,); pass x[0]"),
        (False, 2, "expected a bool (or 0 or 1), got the int 2; pass bool(x)"),
        (False, 1.0, "expected a bool, got the float 1.0; pass bool(x)"),
        (np.float32(0), 1e39, "an example of np.float64(0) has room"),
        (np.zeros((), ">f4"), np.float64(0.1), "pass np.array(x, '>f4')"),
        (np.datetime64(0, "D"), 5, "got the int 5; pass np.array(x, 'datetime64[D]')"),
        (np.datetime64(0, "D"), datetime.date(2026, 1, 1), "pass np.array(x, 'datetime64[D]')"),
        (np.str_("abc"), b"ab", "got a bytes; pass x.decode()"),
        (np.bytes_(b"abc"), "ab", "got a str; pass x.encode()"),
        (np.bytes_(b"abc"), bytearray(b"ab"), "got a bytearray; pass bytes(x)"),
        (eight, list(range(8)), "got a list; pass np.asarray(x, np.float64)"),
        (eight, range(8), "got a range; pass np.asarray(x, np.float64)"),
        (eight, deque([0.0] * 8), "got a deque; pass np.asarray(x, np.float64)"),
        (eight, 5.0, "got the float 5.0; pass np.full((8,), x, np.float64)"),
        (eight, np.zeros(8, "f4"), "got float32 (8,); pass x.astype(np.float64)"),
        (eight, np.zeros(8, ">f8"), "got >f8 (8,); pass x.astype(np.float64)"),
        (eight, np.zeros(8, object), "got object (8,); pass x.astype(np.float64)"),
        (eight, np.zeros(5), "got float64 (5,); pad it to (8,) and carry the length"),
        (eight, np.zeros(9), "an example of (9,) has room: pad the others and carry the length"),
        (eight, np.zeros((8, 1)), "got float64 (8, 1); pass x.reshape(8)"),
        (eight, np.zeros((1, 8), "f4"), "got float32 (1, 8); pass x[0].astype(np.float64)"),
        (np.zeros(1), np.zeros(()), "got float64 (); pass x.reshape(1)"),
        (frame, np.zeros((1, 84, 84, 3), "u1"), "pass x[0]"),
        (frame, np.zeros((3, 84, 84), "u1"), "pass x.transpose(1, 2, 0)"),
        (frame, np.zeros(84 * 84 * 3, "u1"), "pass x.reshape(84, 84, 3)"),
        (frame, np.zeros((5, 84, 84, 3), "u1"), "put_batch puts 5 such trees at once"),
        (np.zeros(4, "u1"), b"abc", "got a bytes of 3 bytes; pad it to (4,) and carry the length"),
        (np.zeros((2, 2), "u1"), b"abcd", "pass np.frombuffer(x, np.uint8).reshape(2, 2)"),
        (np.zeros(2, "U3"), np.zeros(2, "U4"), "an example of dtype U4 has room"),
        (np.zeros(2, "U3"), np.zeros(2, "U2"), "pass x.astype('U3')"),
        (np.zeros(2, bool), np.zeros(2), "pass x.astype(bool)"),
        ([1, 2], (1, 2), "expected a list, got a tuple; pass list(x)"),
        ((1, 2), [1, 2], "expected a tuple, got a list; pass tuple(x)"),
        ({"a": 1}, UserDict(a=1), "expected a dict, got a UserDict; pass dict(x)"),
        (Point(1, 2), (1, 2), "expected a Point, got a tuple; pass Point(*x)"),
        (
            State(1, 2),
            {"position": 1, "velocity": 2},
            "expected a State, got a dict; pass State(**x)",
        ),
        ([1, 2], [1], "pad it, and carry the length as a leaf"),
        ({"a": 1}, {}, "missing key 'a'; every item has the keys of the example, and no others"),
    ]


@pytest.mark.parametrize(("example", "value", "end"), mends(), ids=range(len(mends())))
def test_a_message_ends_with_what_to_pass_instead(example, value, end):
    message = misfit_of(value, example)
    assert message.endswith(end), message
    if "; pass " not in message:
        return
    # The mend is Python, and mends.
    names = {"x": value, "np": np, "Point": Point, "State": State}
    mended = eval(message.split("; pass ")[1], names)
    carry(mended, example)


@pytest.mark.parametrize(
    ("example", "value"),
    [
        (0, "abc"),
        (0.0, "abc"),
        (0, Decimal("nan")),
        (0, 2**1024),
        (np.zeros(1, "u1"), ["abc"]),
        (np.zeros(8), {1}),
        (np.zeros(8), "text"),
        (0.0, 2**1024),
    ],
)
def test_where_there_is_no_mend_none_is_named(example, value):
    assert ";" not in misfit_of(value, example)


def test_an_array_of_another_library_is_told_what_numpy_makes_of_it():
    class Other:
        def __array__(self, dtype=None, copy=None):
            return np.zeros((1, 3), "f4")

    message = misfit_of(Other(), np.zeros(3))
    assert message.endswith("got float32 (1, 3); pass np.asarray(x)[0].astype(np.float64)")
    carry(np.asarray(Other())[0].astype(np.float64), np.zeros(3))
    with TreeQueue({"in": np.zeros(3)}, 1) as queue, pytest.raises(SchemaError) as caught:
        queue.put_batch({"in": Other()})
    assert str(caught.value).endswith("; pass np.asarray(x).astype(np.float64)")


def test_a_batch_is_told_what_to_pass_with_its_dimension_in_front():
    def message(stacked):
        with TreeQueue({"x": np.zeros(3), "r": 0.0}, 4) as queue:
            with pytest.raises(SchemaError) as caught:
                queue.put_batch(stacked)
            assert queue.empty()
        return str(caught.value)

    rows = np.zeros((2, 3))
    assert message({"x": rows, "r": [0.0, 1.0]}) == (
        "r: expected float64 (2,), got a list; pass np.asarray(x, np.float64)"
    )
    assert message({"x": rows, "r": np.zeros(2, "f4")}).endswith("; pass x.astype(np.float64)")
    assert message({"x": np.zeros(3), "r": np.zeros(1)}).endswith("; pass x.reshape(1, 3)")
    assert message({"x": rows, "r": np.zeros((2, 1))}).endswith("; pass x.reshape(2)")


def test_an_out_is_told_which_array_to_use():
    with TreeQueue({"x": np.zeros(3)}, 1) as queue:
        queue.put({"x": np.zeros(3)})
        with pytest.raises(SchemaError, match=r"use np.empty\(\(3,\), np.float64\)"):
            queue.get(out={"x": np.zeros(3, "f4")})
        with pytest.raises(SchemaError, match=r"use np.empty\(\(1, 3\), np.float64\)"):
            queue.get_batch(1, out={"x": np.zeros((2, 3))})
        array, tensor = np.zeros(3), Tensor(None)
        tensor.numpy = lambda: array
        with pytest.raises(SchemaError, match=r"got a Tensor.*; use x.numpy\(\)$"):
            queue.get(out={"x": tensor})
        with pytest.raises(SchemaError, match=r"got a Tensor.*; use x.numpy\(\)$"):
            queue.get_batch(1, out={"x": tensor})
        assert queue.qsize() == 1
        queue.get(out={"x": tensor.numpy()})


class Tensor:
    """What a tensor of torch's looks like from here, and what it says when it is no array."""

    def __init__(self, reason, **attributes):
        self._reason = reason
        self.__dict__.update(attributes)

    def __array__(self, dtype=None, copy=None):
        raise self._reason


@pytest.mark.parametrize(
    ("tensor", "reason", "mend"),
    [
        (
            Tensor(
                RuntimeError("Can't call numpy() on Tensor that requires grad."), requires_grad=True
            ),
            "Can't call numpy() on Tensor that requires grad",
            "pass x.detach()",
        ),
        (
            Tensor(TypeError("can't convert cuda:0 device type tensor"), device="cuda:0"),
            "can't convert cuda:0 device type tensor",
            "pass x.cpu()",
        ),
        (
            Tensor(
                TypeError("Got unsupported ScalarType BFloat16"),
                dtype="torch.bfloat16",
                device="cpu",
            ),
            "Got unsupported ScalarType BFloat16",
            "pass x.float()",
        ),
        (
            Tensor(RuntimeError("both\nand more"), requires_grad=True, device="cuda:1"),
            "both",
            "pass x.detach().cpu()",
        ),
        (Tensor(RuntimeError("Cannot copy out of meta tensor"), device="meta"), "Cannot copy", ""),
        (Tensor(ValueError("x" * 1000)), "x" * 100, ""),
    ],
)
def test_what_another_library_says_stands_in_the_message_with_the_mend(tensor, reason, mend):
    texts = [misfit_of(tensor, np.zeros(3)), misfit_of(tensor, 0.0)]
    with TreeQueue({"in": np.zeros(3)}, 1) as queue, pytest.raises(SchemaError) as caught:
        queue.put_batch({"in": tensor})
    texts.append(str(caught.value))
    with pytest.raises(TypeError) as caught:
        TreeQueue({"in": tensor}, 1)
    texts.append(str(caught.value))
    for text in texts:
        assert f"that gives no array: {reason}" in text and len(text) < 400
        assert text.endswith(mend) and ("; pass" in text) == bool(mend)


# Examples, and numbers.


def test_a_key_that_is_no_key_says_why():
    def message(key):
        with pytest.raises(TypeError) as caught:
            TreeQueue({"in": {key: 1}}, 1)
        return str(caught.value)

    assert message("\ud800").startswith("in: a key that is not valid Unicode: '\\ud800'.")
    assert message(2**200).startswith("in: a key of 201 bits")
    assert message(object()).startswith("in: a key of type object; it may be str, int")
    assert message((1, ("a", object()))).startswith("in: a key of type tuple")
    deep = ()
    for _ in range(20):
        deep = (deep,)
    assert "nested" in message(deep)


def test_a_number_that_is_too_large_is_shown_as_it_was_given():
    for call in (
        lambda number: TreeQueue(0, number),
        lambda number: TreeQueue(0, 1, participants=number),
        lambda number: TreeQueue(0, 1).get_batch(number),
        lambda number: TreeQueue(0, 1).get_batch(1, min=number),
        lambda number: TreeQueue(0, 1).reserve_batch(number),
        lambda number: TreeQueue(0, 1, max_deliveries=number),
    ):
        for number in (2**24 + 2**23 if call is None else 2**70, -5):
            with pytest.raises(ValueError, match=f"got {number}"):
                call(number)


def test_leaves_of_as_many_dimensions_as_arrays_can_have_are_not_stacked():
    most = 64 if int(np.__version__.split(".")[0]) >= 2 else 32
    item = {"in": np.zeros((1,) * most)}
    with TreeQueue(item, 2) as queue:
        for call in (
            lambda: queue.get_batch(1, block=False),
            lambda: queue.get_batch(2, min=1),
            lambda: queue.put_batch(item),
            lambda: queue.borrow_batch(1),
            lambda: queue.reserve_batch(1),
        ):
            with pytest.raises(ValueError, match=f"^in: it has {most} dimensions"):
                call()
        queue.put_many([item, item])
        assert len(queue.get_many(2)) == 2
    fewer = {"in": np.zeros((1,) * (most - 1))}
    with TreeQueue(fewer, 2) as queue:
        queue.put(fewer)
        assert queue.get_batch(1)["in"].ndim == most


def test_a_tuple_whose_fields_are_not_as_many_as_its_items_is_refused():
    class Odd(tuple):
        _fields = ("a", "b")

    with pytest.raises(TypeError, match=r"^in: .*Odd of length 1, whose _fields name 2"):
        TreeQueue({"in": Odd((1,))}, 1)
    pair = namedtuple("Pair", "a b")
    assert misfit_of(tuple.__new__(pair, (1,)), pair(0, 0)).startswith(
        "expected a tuple of length 2"
    )


AB = np.dtype([("a", "i4"), ("b", "i4")])


@pytest.mark.parametrize(
    ("example", "value"),
    [
        (np.zeros((), AB), np.ones((), [("b", "i4"), ("a", "i4")])),
        (np.zeros((), AB), np.ones((), [("x", "i4"), ("y", "i4")])),
        (np.zeros((), AB)[()], np.ones((), [("b", "i4"), ("a", "i4")])[()]),
        (np.zeros((), AB), np.ones((), [("a", "i8"), ("b", "i8")])),
        (np.void(b"abc"), np.void(b"ab")),
        (np.void(b"abc"), np.void(b"abcd")),
        (np.zeros((), AB), np.void(bytes(8))),
    ],
)
def test_bytes_and_structures_of_another_dtype_are_refused_whatever_numpy_makes_of_them(
    example, value
):
    assert misfit_of(value, example).startswith("expected ")


def test_control_characters_of_a_field_do_not_reach_the_terminal():
    example = np.zeros(2, [("a", "i4"), ("x\x1b[2Jy", "f8")])
    with TreeQueue(example, 1) as queue:
        assert "\x1b" not in repr(queue) and "u{1b}" in repr(queue)
        with pytest.raises(SchemaError) as caught:
            queue.put(np.zeros(3, example.dtype))
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("example", "value", "mend"),
    [
        (
            np.zeros((), "m8")[()],
            np.timedelta64(5, "s"),
            "an example of np.zeros((), 'timedelta64[s]')",
        ),
        (np.timedelta64(1, "s"), np.timedelta64(1500, "ms"), "pass np.array(x, 'timedelta64[s]')"),
        (np.timedelta64(1, "s"), np.timedelta64(2**62, "W"), None),
    ],
)
def test_a_time_is_told_a_mend_that_keeps_it(example, value, mend):
    said = misfit_of(value, example)
    assert mend in said if mend else ";" not in said


def test_structures_that_differ_in_layout_alone_are_told_apart():
    moved = np.dtype({"names": ["a"], "formats": ["i4"], "offsets": [4], "itemsize": 8})
    said = misfit_of(np.zeros(2, moved), np.zeros(2, [("a", "i4")]))
    assert said.endswith(
        "got {a: int32} (2,) of another layout: offsets, padding, alignment or titles"
    )

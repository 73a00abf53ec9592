"""Dataclasses, attrs classes and named tuples that are more than their fields."""

import functools
import itertools
from collections import OrderedDict, deque, namedtuple
from dataclasses import InitVar, dataclass, field, make_dataclass
from typing import ClassVar, Generic, NamedTuple, TypeVar

import attrs
import numpy as np
import pytest
from helpers import WATCHDOG_S

from treequeues import SchemaError, TreeQueue, register_node

T = TypeVar("T")


def refusal_of(value):
    with pytest.raises(TypeError) as caught:
        TreeQueue({"in": [value]}, 1)
    message = str(caught.value)
    assert message.startswith("in[0]: ") and "treequeues.register_node(" in message
    return message


def carry(value, example=None):
    with TreeQueue({"in": [value if example is None else example]}, 2) as queue:
        queue.put({"in": [value]}, timeout=WATCHDOG_S)
        return queue.get(timeout=WATCHDOG_S)["in"][0]


def misfit_of(value, example):
    with TreeQueue({"in": [example]}, 1) as queue:
        with pytest.raises(SchemaError) as caught:
            queue.put({"in": [value]}, timeout=WATCHDOG_S)
        assert queue.empty()
    return str(caught.value)


# What is refused when the queue is made.


@pytest.mark.parametrize("base", [dict, OrderedDict, list, set, deque, Exception, float, str])
def test_an_object_that_is_a_container_of_another_kind_too_is_refused(base):
    @dataclass
    class Output(base):
        loss: float = 0.0

        def __hash__(self):
            return 0

    named = "dict" if base is OrderedDict else base.__name__
    assert f"is a {named} too" in refusal_of(Output()).replace("an ", "a ")


def test_an_attrs_class_that_is_a_dict_too_is_refused():
    @attrs.define(slots=False)
    class Output(dict):
        loss: float = 0.0

    assert "is a dict too" in refusal_of(Output())


@dataclass
class Scaled:
    reward: float

    def __post_init__(self):
        self.scaled = self.reward * 2


@attrs.define(slots=False)
class ScaledAttrs:
    reward: float

    def __attrs_post_init__(self):
        self.scaled = self.reward * 2


class ScaledTuple(namedtuple("Scaled", "reward")):
    def __new__(cls, reward):
        made = super().__new__(cls, reward)
        made.scaled = reward * 2
        return made


@dataclass
class Slotted:
    __slots__ = ("reward", "scaled")
    reward: float

    def __post_init__(self):
        self.scaled = self.reward * 2


@dataclass(frozen=True)
class Frozen:
    reward: float

    def __post_init__(self):
        object.__setattr__(self, "scaled", self.reward * 2)


@dataclass
class WithArgument:
    reward: float
    scale: InitVar[float] = 1.0

    def __post_init__(self, scale):
        self.scaled = self.reward * scale


@dataclass
class Zeroed:
    """What `__new__` sets is there again, but not with the value that it came to have."""

    reward: float

    def __new__(cls, *args):
        made = super().__new__(cls)
        made.scaled = 0.0
        return made

    def __post_init__(self):
        self.scaled = self.reward * 2


@pytest.mark.parametrize(
    "cls", [Scaled, ScaledAttrs, ScaledTuple, Slotted, Frozen, WithArgument, Zeroed]
)
def test_an_object_that_keeps_more_than_its_fields_is_refused_with_their_names(cls):
    message = refusal_of(cls(1.0))
    assert f"a {cls.__name__} that has scaled beside its" in message and "lost" in message


def test_many_attributes_are_counted():
    value = make_dataclass("Many", ["x"])(0)
    for i in range(9):
        setattr(value, f"extra{i}", i)
    assert "has extra0, extra1, extra2, extra3, extra4 and 4 more beside" in refusal_of(value)


@dataclass
class NeedsArgument:
    a: float

    def __new__(cls, a):
        return super().__new__(cls)


@dataclass
class Refuses:
    a: float

    def __new__(cls, *args):
        if not args:
            raise RuntimeError("not without arguments")
        return super().__new__(cls)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (NeedsArgument(1.0), "missing 1 required positional argument: 'a'"),
        (Refuses(1.0), "not without arguments"),
    ],
)
def test_an_object_that_cannot_be_made_again_is_refused_with_the_reason(value, reason):
    message = refusal_of(value)
    assert "cannot be made again" in message and reason in message


def test_an_object_that_there_is_only_once_is_refused():
    @dataclass
    class Single:
        x: float = 0.0
        made: ClassVar = None

        def __new__(cls, *args):
            cls.made = cls.made or super().__new__(cls)
            return cls.made

    value = Single(5.0)
    assert "is not made anew" in refusal_of(value)
    assert value.x == 5.0


def test_what_raises_no_ordinary_error_passes_through():
    @dataclass
    class Interrupted:
        a: float

        def __new__(cls, *args):
            if not args:
                raise KeyboardInterrupt
            return super().__new__(cls)

    with pytest.raises(KeyboardInterrupt):
        TreeQueue(Interrupted(1.0), 1)


def test_a_field_that_was_never_set_is_refused_by_path():
    @dataclass
    class Late:
        x: float
        y: float = field(init=False)

    with pytest.raises(TypeError, match=r"^in: .*Late whose field y was never set"):
        TreeQueue({"in": Late(1.0)}, 1)


def test_to_register_the_class_is_the_way_out():
    @dataclass
    class Output(dict):
        loss: float = 0.0

    register_node(
        Output,
        lambda output: ((output.loss, dict(output)), None),
        lambda aux, children: make(*children),
    )

    def make(loss, contents):
        output = Output(loss)
        output.update(contents)
        return output

    value = make(0.5, {"logits": 5})
    got = carry(value)
    assert type(got) is Output and got.loss == 0.5 and dict(got) == {"logits": 5}


# What goes on working.


@dataclass
class Lazy:
    reward: float

    @functools.cached_property
    def scaled(self):
        return self.reward * 2

    @property
    def halved(self):
        return self.reward / 2


@attrs.define
class LazySlots:
    reward: float

    @functools.cached_property
    def scaled(self):
        return self.reward * 2


@pytest.mark.parametrize("cls", [Lazy, LazySlots])
def test_a_cached_property_is_computed_again(cls):
    seen, unseen = cls(1.0), cls(1.0)
    assert seen.scaled == 2.0
    for example, value in itertools.product([seen, unseen], repeat=2):
        assert carry(value, example).scaled == 2.0


@dataclass
class Batch(Generic[T]):
    values: T
    kind: ClassVar[str] = "batch"


def test_generic_classes_class_variables_and_subclasses_of_them_are_carried():
    got = carry(Batch[np.ndarray](np.arange(3)))
    assert (got.values == np.arange(3)).all() and got.kind == "batch"

    class Named(NamedTuple, Generic[T]):
        value: T

    assert carry(Named[int](5)) == Named(5)


@dataclass
class Backed:
    """A field that is a property, and keeps its value under another name."""

    value: float

    @property
    def value(self):
        return self._value

    @value.setter
    def value(self, value):
        self._value = value


def test_a_field_that_is_a_property_is_carried():
    assert carry(Backed(2.5), Backed(0.0)).value == 2.5


@dataclass
class Marked:
    """What `__new__` gives each object is there again without being carried."""

    x: float

    def __new__(cls, *args):
        made = super().__new__(cls)
        made.mark = "new"
        return made


@dataclass
class Defaulted:
    x: float
    limit = 10


def test_what_the_class_gives_each_object_is_not_lost():
    assert carry(Marked(1.0)).mark == "new"
    value = Defaulted(1.0)
    value.limit = 10
    assert carry(value).limit == 10
    value.limit = 11
    assert "has limit beside" in refusal_of(value)


@dataclass(kw_only=True, slots=True, frozen=True)
class Strict:
    x: float
    y: float = field(init=False, default=5.0)


@dataclass
class Weak:
    __slots__ = ("__weakref__", "x")
    x: float


@dataclass
class Base:
    x: float


@dataclass
class Derived(Base):
    y: float = 0.0


@pytest.mark.parametrize("value", [Strict(x=1.0), Weak(1.0), Derived(1.0, 2.0)])
def test_plain_classes_of_every_kind_are_carried(value):
    assert carry(value) == value


def test_a_post_init_that_changes_fields_alone_is_no_hindrance_and_does_not_run_again():
    @dataclass
    class Halved:
        x: float

        def __post_init__(self):
            self.x /= 2

    assert carry(Halved(1.0)).x == 0.5


# What is refused at put.


@pytest.mark.parametrize("cls", [Base, Derived, Lazy])
def test_an_attribute_that_a_user_adds_to_an_item_is_not_lost_in_silence(cls):
    value = cls(1.0)
    value.note = "mine"
    message = misfit_of(value, cls(0.0))
    assert (
        message.startswith("in[0]: expected a ")
        and "one that has note beside its fields" in message
    )
    del value.note
    assert carry(value, cls(0.0)).x if cls is not Lazy else carry(value, cls(0.0)).reward


def test_an_attribute_of_a_named_tuple_is_not_lost_in_silence():
    class Pair(namedtuple("Pair", "x y")):
        pass

    value = Pair(1, 2)
    assert carry(value) == value
    value.note = "mine"
    assert "has note beside its items" in misfit_of(value, Pair(0, 0))


def test_an_object_of_a_subclass_that_has_more_is_refused():
    class Noted(Base):
        def __init__(self, x):
            super().__init__(x)
            self.note = "mine"

    class Filled(Base, dict):
        pass

    assert "note" in misfit_of(Noted(1.0), Base(0.0))
    assert "expected a Base, got" in misfit_of(Filled(1.0), Base(0.0))


@dataclass(slots=True)
class Slotted:
    x: float


class Roomy(Slotted):
    pass


class RoomyInSlots(Slotted):
    __slots__ = ("note",)


class HiddenSlot:
    __slots__ = ("note",)


@dataclass
class OverHiddenSlot(HiddenSlot):
    x: float


@dataclass
class MixedWithHiddenSlot(Base, HiddenSlot):
    pass


@attrs.define
class SlottedByAttrs:
    x: float


class RoomyByAttrs(SlottedByAttrs):
    pass


@pytest.mark.parametrize(
    ("cls", "example"),
    [
        (Roomy, Slotted),
        (RoomyInSlots, Slotted),
        (OverHiddenSlot, OverHiddenSlot),
        (MixedWithHiddenSlot, MixedWithHiddenSlot),
        (MixedWithHiddenSlot, Base),
        (RoomyByAttrs, SlottedByAttrs),
    ],
)
def test_an_attribute_in_a_slot_or_of_a_subclass_is_not_lost_in_silence(cls, example):
    value = cls(1.0)
    assert carry(value, example(0.0)).x == 1.0
    value.note = "mine"
    message = misfit_of(value, example(0.0))
    assert (
        f"expected {'an' if example.__name__[0] in 'AEIO' else 'a'} {example.__name__}, got "
        in message
    )
    assert "that has note beside its fields" in message and "register_node" in message


def test_the_check_at_put_knows_what_is_not_lost():
    assert carry(Backed(1.0), Backed(0.0)).value == 1.0
    assert carry(Marked(1.0), Marked(0.0)).mark == "new"
    generic = Batch[np.ndarray](np.ones(2))
    assert carry(generic, Batch(np.zeros(2))).values.tolist() == [1, 1]

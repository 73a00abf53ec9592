"""What `inspect` and `help` show of the queues' classes: the real signatures."""

import inspect
import pydoc

import numpy as np
import pytest

from treequeues import ArrayQueue, TreeQueue

EXAMPLE = {"x": np.zeros(2)}


def test_the_signature_of_a_queue_is_that_of_its_constructor():
    assert str(inspect.signature(TreeQueue)) == (
        "(nested_array, maxsize, *, name=None, keep=False, participants=256, populate=False, "
        "max_deliveries=None, on_drop=None)"
    )


def test_an_array_queue_says_the_same_of_its_keywords():
    of_trees, of_arrays = (inspect.signature(it).parameters for it in (TreeQueue, ArrayQueue))
    assert list(of_arrays) == ["array", *list(of_trees)[1:]]
    for name, parameter in list(of_trees.items())[1:]:
        assert of_arrays[name].kind == parameter.kind, name
        assert of_arrays[name].default == parameter.default, name


@pytest.mark.parametrize("kind", [TreeQueue, ArrayQueue])
def test_open_says_the_same_of_its_keywords(kind):
    of_class, of_open = (inspect.signature(it).parameters for it in (kind, kind.open))
    assert list(of_open)[:3] == ["name", "nested_array", "maxsize"]
    for name in list(of_open)[3:]:
        assert of_open[name].kind == of_class[name].kind, name
        assert of_open[name].default == of_class[name].default, name


def test_the_signature_is_what_the_constructor_takes():
    signature = inspect.signature(TreeQueue)
    # Every keyword with its default, as the signature gives it.
    arguments = signature.bind(EXAMPLE, 2)
    arguments.apply_defaults()
    with TreeQueue(*arguments.args, **arguments.kwargs) as queue, TreeQueue(EXAMPLE, 2) as plain:
        assert queue.nbytes == plain.nbytes
        assert (queue.maxsize, queue.name, queue.max_deliveries, queue.on_drop) == (2, *[None] * 3)
    for keyword in ("capacity", "ctx"):
        with pytest.raises(TypeError):
            signature.bind(EXAMPLE, 2, **{keyword: 1})
        with pytest.raises(TypeError, match=keyword):
            TreeQueue(EXAMPLE, 2, **{keyword: 1})


def test_help_begins_with_the_signature():
    text = pydoc.plain(pydoc.render_doc(TreeQueue))
    # Python 3.13 breaks a long signature into lines, behind a rule.
    shown = "".join(text.replace(" |", "").split())
    assert f"TreeQueue{inspect.signature(TreeQueue)}".replace(" ", "") in shown
    assert "_args" not in text


def test_a_subclass_shows_its_own_constructor():
    class Frames(TreeQueue):
        def __init__(self, side, maxsize=4):
            super().__init__(np.zeros((side, side), np.uint8), maxsize)

    class Plain(TreeQueue):
        pass

    assert str(inspect.signature(Frames)) == "(side, maxsize=4)"
    assert inspect.signature(Plain) == inspect.signature(TreeQueue)
    with Frames(3, maxsize=2) as queue:
        assert queue.maxsize == 2

"""What `inspect` and `help` show of the queues' classes: the real signatures."""

import ast
import inspect
import pydoc
import re

import numpy as np
import pytest
from helpers import ROOT

import treequeues
from treequeues import ArrayQueue, TreeQueue

EXAMPLE = {"x": np.zeros(2)}

LOANS = ("WriteLoan", "ReadLoan")


def test_the_signature_of_a_queue_is_that_of_its_constructor():
    assert str(inspect.signature(TreeQueue)) == (
        "(nested_array, maxsize, *, name=None, keep=False, participants=256, populate=False, "
        "max_deliveries=None, overflow='block', producers=None, on_drop=None)"
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


def test_help_says_what_ends_a_loop():
    assert "ShutDown ends the loop" in TreeQueue.__doc__


def documented():
    """Every public call of a class of the extension module that has a docstring in the stub."""
    stub = ast.parse((ROOT / "python/treequeues/_core.pyi").read_text())
    for kind in stub.body:
        if not isinstance(kind, ast.ClassDef) or kind.name not in ("TreeQueue", *LOANS):
            continue
        for call in kind.body:
            # What `help` says of an operator, such as `__iter__`, is the interpreter's.
            is_call = isinstance(call, ast.FunctionDef) and not call.name.startswith("__")
            if is_call and ast.get_docstring(call):
                yield pytest.param(kind.name, call, id=f"{kind.name}.{call.name}")


def raised(doc):
    """The exceptions that a docstring names, those of the call that it refers to included."""
    doc = " ".join(doc.split())
    names = set(re.findall(r"\b(?:\w+Error|ShutDown|StopIteration|Full|Empty)\b", doc))
    return names, set(re.findall(r"as `?(\w+)(?:\(\))?`?(?: and the class)? (?:does|do)\b", doc))


@pytest.mark.parametrize(("kind", "call"), list(documented()))
def test_help_says_what_a_call_raises_as_the_stub_does(kind, call):
    shown = getattr(getattr(treequeues, kind), call.name).__doc__
    assert raised(shown) == raised(ast.get_docstring(call))

"""Makes Markdown of docstrings, for the reference.

The project's docstrings are prose. Two things in them need a hint to be shown as they are meant: a
paragraph that explains arguments, one a line (`timeout: how many seconds at most`), and indented
code. Stars and angles are what they are, as in `2**24`, but for those in code. And a method of
which a stub has overloads alone is one method.
"""

import re
import textwrap
from typing import Any

import griffe

_CODE = re.compile(r"(`[^`]*`)")
_MARKUP = re.compile(r"[*<]")
_ARGUMENTS = re.compile(r"([a-z_]\w*(?:, [a-z_]\w*)*): ")


class Docstrings(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        for name, overloads in cls.overloads.items():
            if name not in cls.members:
                first = overloads[0]
                cls[name] = griffe.Function(
                    name,
                    parameters=first.parameters,
                    returns=first.returns,
                    docstring=first.docstring,
                    lineno=first.lineno,
                    endlineno=first.endlineno,
                )
                cls[name].overloads = overloads
        # In the order of the source, the new ones too.
        cls.members = dict(sorted(cls.members.items(), key=lambda it: it[1].lineno or 0))


def as_markdown(docstring: str) -> str:
    return "\n\n".join(map(_paragraph, docstring.split("\n\n")))


def _paragraph(text: str) -> str:
    if all(line.startswith("    ") for line in text.splitlines()):
        return f"```python\n{textwrap.dedent(text)}\n```"
    # With what was captured, the parts between backticks are every second one.
    parts = _CODE.split(text)
    parts[::2] = [_MARKUP.sub(r"\\\g<0>", it) for it in parts[::2]]
    text = "".join(parts)
    lines = text.splitlines()
    if _ARGUMENTS.match(text) and all(
        _ARGUMENTS.match(line) or line.startswith("    ") for line in lines
    ):
        return "\n".join(_ARGUMENTS.sub(_as_item, line, count=1) for line in lines)
    return text


def _as_item(found: re.Match[str]) -> str:
    if found.start():
        return found[0]
    return "- " + ", ".join(f"`{name}`" for name in found[1].split(", ")) + ": "

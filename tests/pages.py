"""The fenced blocks of the documentation's pages, and what is to be done with each of them.

| block | what is done |
|---|---|
| `python` | runs as a script of its own, warnings being errors |
| `python` after `<!-- continues -->` | is the next part of the script before it |
| `python title="actor.py"` | is a file that later blocks of the page run or import |
| `text` | is what the script before it prints |
| `console` | lines that begin with `$ ` run, and must print the lines that follow them |
| `console title="Terminal 1"` | such blocks, one after another, are started together |
| `rust` | is compiled and run by the crate `treequeues-docs`; may continue as well |
| any after `<!-- not run: reason -->` | is only shown |
| `text` after `<!-- picture -->` | is only shown: nothing printed it |

The comments stand in the line before the fence, and do not show on the site. In what should be
printed, `...` stands for any text. Anything else is an error: nothing is skipped silently.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

RUN = ("python", "console", "rust")
SHOWN_ONLY = ("dockerfile", "yaml", "toml")  # With a reason each time.
LANGUAGES = (*RUN, *SHOWN_ONLY, "text")

CONTINUES, PICTURE, NOT_RUN = "continues", "picture", "not run"

_FENCE = re.compile(r'^( *)(`{3,})([^\s`]*)(?: title="([^"]*)")?(.*)$')
_HEADING = re.compile(r"^(#{1,6}) +(.+?) *$")
_DIRECTIVE = re.compile(r"^ *<!-- (continues|picture|not run)(?:: (.+))? -->$")


@dataclass(frozen=True)
class Block:
    page: str
    """The page's path below docs/."""
    line: int
    language: str
    title: str
    directive: str
    reason: str
    text: str
    sections: tuple[str, ...]
    """The anchors of the headings above it, outermost first."""
    rest: str
    """What else is said of it: nothing, or it is an error."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_file(self) -> bool:
        return self.language == "python" and bool(self.title)

    @property
    def is_shown_only(self) -> bool:
        return self.directive in (NOT_RUN, PICTURE)


@dataclass
class Case:
    """Blocks that are run together: a script in parts, or terminals side by side."""

    blocks: list[Block]
    files: dict[str, str]
    """What lies in the directory where it runs."""
    printed: str = ""
    """Of a script: what it should print."""

    def __str__(self) -> str:
        return str(self.blocks[0])

    @property
    def script(self) -> str:
        return "\n".join(block.text for block in self.blocks)


@dataclass(frozen=True)
class Command:
    line: str
    printed: str


@dataclass
class Page:
    path: str
    blocks: list[Block]
    scripts: list[Case] = field(default_factory=list)
    consoles: list[Case] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def pages() -> list[Page]:
    found = []
    for file in sorted(DOCS.rglob("*.md")):
        path = file.relative_to(DOCS).as_posix()
        page = Page(path, list(blocks_of(path, file.read_text())))
        sort_out(page)
        found.append(page)
    return found


def blocks_of(page: str, text: str) -> Iterator[Block]:
    headings: list[tuple[int, str]] = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        heading, fence = _HEADING.match(lines[at]), _FENCE.match(lines[at])
        if heading:
            level = len(heading[1])
            headings = [it for it in headings if it[0] < level] + [(level, anchor(heading[2]))]
        elif fence:
            indent, mark, language, title, rest = fence.groups()
            before = lines[at - 1] if at else ""
            directive = _DIRECTIVE.match(before)
            if "<!--" in before and not directive:
                rest += f"after {before.strip()}"
            begin = at + 1
            at = next(
                (end for end in range(begin, len(lines)) if lines[end] == indent + mark), len(lines)
            )
            yield Block(
                page=page,
                line=begin,
                language=language,
                title=title or "",
                directive=directive[1] if directive else "",
                reason=(directive[2] or "") if directive else "",
                text=textwrap.dedent("\n".join(lines[begin:at]) + "\n"),
                sections=tuple(slug for _, slug in headings),
                rest=rest.strip() if at < len(lines) else "and no end",
            )
        at += 1


def anchor(heading: str) -> str:
    """The id that the site gives to a heading."""
    words = re.sub(r"[^\w\s-]", "", heading).strip().lower()
    return re.sub(r"[-\s]+", "-", words)


def sort_out(page: Page) -> None:
    """Fills the page's scripts, consoles and faults from its blocks."""
    files: dict[str, str] = {}
    script: Case | None = None
    last: Block | None = None
    for block in page.blocks:
        fault = _fault(block, script, last)
        if fault:
            page.faults.append(f"{block}: {fault}")
        elif block.is_shown_only:
            pass
        elif block.is_file:
            files[block.title] = block.text
        elif block.language == "python" and block.directive == CONTINUES and script:
            script.blocks.append(block)
        elif block.language == "python":
            script = Case([block], dict(files))
            page.scripts.append(script)
        elif block.language == "text" and script:
            script.printed += block.text
        elif block.language == "console":
            if last and last.language == "console" and last.title and block.title:
                page.consoles[-1].blocks.append(block)
            else:
                page.consoles.append(Case([block], dict(files)))
        last = block


def _fault(block: Block, script: Case | None, last: Block | None) -> str:
    if block.rest:
        return f"more is said of it than is known: {block.rest!r}"
    if block.language not in LANGUAGES:
        return f"the language {block.language!r} is not known to the tests"
    if block.directive == NOT_RUN and not block.reason:
        return "no reason says why it is not run"
    if block.language in SHOWN_ONLY and block.directive != NOT_RUN:
        return f"a {block.language} block is not run, so it needs the reason"
    if block.directive == CONTINUES and block.language not in ("python", "rust"):
        return "only a script can be continued"
    if block.directive == CONTINUES and block.language == "python" and script is None:
        return "there is no script that it could continue"
    if block.directive == PICTURE and block.language != "text":
        return "only text can be a picture"
    if block.language == "text" and not block.directive:
        is_after_script = last and last.language == "python" and not last.is_file
        if not is_after_script or (last and last.is_shown_only):
            return "no script stands before it that could print this"
    return ""


def commands_of(block: Block) -> list[Command]:
    """The commands of a console block, and what each should print."""
    commands: list[Command] = []
    lines = iter(block.text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            typed = line[2:]
            while typed.endswith("\\"):
                typed += "\n" + next(lines)
            commands.append(Command(typed, ""))
        else:
            assert commands, f"{block}: it begins with output, and no command"
            commands[-1] = Command(commands[-1].line, commands[-1].printed + line + "\n")
    return commands


def says(expected: str, printed: str) -> bool:
    """Whether something printed is what was expected, where `...` stands for any text."""
    parts = (re.escape(part) for part in _trimmed(expected).split("..."))
    return re.fullmatch(".*?".join(parts), _trimmed(printed), re.DOTALL) is not None


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())

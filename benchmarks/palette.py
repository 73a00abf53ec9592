"""The colours of the plots, for light pages and for dark ones, and what each series looks like.

A file is drawn in its light colours. A style sheet inside it replaces each of them by its dark
partner where the reader's browser asks for dark, so no two roles may share a light colour.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from benchmarks.cells import BASELINE, COPYTO, GET, OURS, PUT


@dataclass(frozen=True)
class Colour:
    light: str
    dark: str


class Scheme(enum.Enum):
    LIGHT = "light"
    DARK = "dark"

    def __call__(self, colour: Colour) -> str:
        return colour.light if self is Scheme.LIGHT else colour.dark


BACKGROUND = Colour("#ffffff", "#0d1117")
INK = Colour("#1f2328", "#e6edf3")
MUTED = Colour("#59636e", "#9198a1")
GRID = Colour("#d8dee4", "#2f353d")

BLUE = Colour("#0068b5", "#58b4f5")
VERMILION = Colour("#cf5300", "#ff8d52")
GREEN = Colour("#008a63", "#35c99c")
GOLD = Colour("#a87400", "#e3b341")
PURPLE = Colour("#b0468c", "#e58cc8")
INDIGO = Colour("#5a4fcf", "#a79dff")
BROWN = Colour("#7d6752", "#bba58d")
WINE = Colour("#8c1d40", "#ff7a93")
SKY = Colour("#2f8fd0", "#8fd0ff")


@dataclass(frozen=True)
class Series:
    name: str
    colour: Colour
    marker: str
    line: str = "-"
    strong: bool = False
    in_curves: bool = True  # Whether it has a curve of time against size.

    def called(self, name: str, marker: str = "") -> Series:
        return replace(self, name=name, marker=marker or self.marker)


SERIES = {
    series.name: series
    for series in (
        Series(BASELINE, VERMILION, "s"),
        Series("multiprocessing.Pipe", PURPLE, "v"),
        Series("faster-fifo", GREEN, "^"),
        Series("dejaq", GOLD, "D"),
        Series("arrayqueues", BROWN, "P"),
        Series("torch.multiprocessing", WINE, "X"),
        Series("iceoryx2", INDIGO, "d"),
        Series(OURS, BLUE, "o", strong=True),
        Series("treequeues, out=", BLUE, "o", in_curves=False),
        Series("treequeues, get and stack", BLUE, "o", in_curves=False),
        Series("treequeues, borrow_batch", BLUE, "o", in_curves=False),
        Series("treequeues, put_batch and borrow_batch", BLUE, "o", in_curves=False),
        Series(COPYTO, MUTED, "", "--", in_curves=False),
        Series(PUT, SKY, "v", in_curves=False),
        Series(GET, SKY, "^", in_curves=False),
    )
}


def with_schemes(svg: str) -> str:
    """An SVG drawn in light colours, with the style sheet that makes it dark on request."""
    colours = {BACKGROUND, INK, MUTED, GRID, *(series.colour for series in SERIES.values())}
    rules = "".join(
        f'[style*="{kind}: {colour.light}"]{{{kind}:{colour.dark}!important}}'
        for colour in sorted(colours, key=lambda colour: colour.light)
        for kind in ("fill", "stroke")
    )
    page = f"svg{{background:{BACKGROUND.light}}}"
    rules = f"svg{{background:{BACKGROUND.dark}}}{rules}"
    sheet = f"<style>{page}@media (prefers-color-scheme: dark){{{rules}}}</style>"
    head, opening, body = svg.partition("<defs>")
    return f"{head}{sheet}\n {opening}{body}"

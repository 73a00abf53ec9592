"""The plots of a record, as SVG files that follow the reader's colour scheme.

    python -m benchmarks.plots                    of the newest record, into benchmarks/plots
    python -m benchmarks.plots RECORD --png /tmp  as PNG too, light and dark, to look at

D1. Every series is labelled where it ends, in its own colour, and has a marker of its own: nobody
    needs to tell colours apart. The colours are told apart by the colour-blind too.
D2. A file carries its own background and both schemes, so that it is readable on any page.
D3. The same record gives the same bytes.
"""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from benchmarks import record
from benchmarks.cells import (
    BATCH_CELLS,
    BORROW,
    COPY_CELLS,
    COPYTO,
    CROWDED_CURVE,
    CURVES,
    GET,
    LEAVES,
    LOAN_CELLS,
    OURS,
    PUT,
    RESERVE,
    TIME,
    Cell,
    size_text,
)
from benchmarks.palette import BACKGROUND, GRID, INK, MUTED, SERIES, Scheme, Series, with_schemes
from benchmarks.record import Medians, Record

PLOTS = Path(__file__).parent / "plots"
LABEL_GAP = 0.047  # Between two labels, of the height of the axes.
LABEL_REACH = 0.035  # From the last point to its label, of the width of the axes.
DECADES_US = {
    0.1: "100 ns",
    1: "1 us",
    10: "10 us",
    100: "100 us",
    1e3: "1 ms",
    1e4: "10 ms",
    1e5: "100 ms",
    1e6: "1 s",
}
Curve = tuple[Series, list[tuple[float, float]]]


def sizes(run: Record, scheme: Scheme) -> Figure:
    """Time against size, for 1, 10 and 100 leaves."""
    medians = run.medians()
    figure, panels = _panels(1, len(LEAVES), figsize=(11.5, 4.9), sharey=True)
    for panel, leaves in zip(panels, LEAVES, strict=True):
        curves = _curves(medians, [cell for cell in CURVES if cell.item.leaves == leaves])
        _draw_curves(panel, scheme, curves)
        panel.set_title(f"{leaves} {'leaf' if leaves == 1 else 'leaves'}", loc="left", fontsize=10)
        _size_axis(panel, curves)
        if panel is panels[-1]:
            _label_ends(panel, scheme, curves)
            in_last = {series.name for series, _ in curves}
    # Who takes single arrays only is not in the last panel.
    for series, points in _curves(medians, [cell for cell in CURVES if cell.item.leaves == 1]):
        if series.name not in in_last:
            _label_start(panels[0], scheme, series, points)
    _time_axis(panels[0], DECADES_US)
    _finish(
        figure,
        scheme,
        "The time of an item against its size",
        "One process puts, one gets. Median of interleaved rounds; lower is better.",
    )
    figure.subplots_adjust(left=0.065, right=0.845, top=0.8, bottom=0.09, wspace=0.09)
    return figure


def processes(run: Record, scheme: Scheme) -> Figure:
    """Time against size, for 2 and 16 processes."""
    medians = run.medians()
    largest = max(cell.item.nbytes for cell in CROWDED_CURVE)
    pair = [cell for cell in CURVES if cell.item.leaves == 10 and cell.item.nbytes <= largest]
    figure, panels = _panels(1, 2, figsize=(11.5, 4.9), sharey=True)
    for panel, cells, title in (
        (panels[0], pair, "2 processes: 1 puts, 1 gets"),
        (panels[1], CROWDED_CURVE, "16 processes: 8 put, 8 get"),
    ):
        curves = _curves(medians, cells)
        _draw_curves(panel, scheme, curves)
        panel.set_title(title, loc="left", fontsize=10)
        _size_axis(panel, curves)
    for panel, cells in ((panels[0], pair), (panels[1], CROWDED_CURVE)):
        _label_ends(panel, scheme, _curves(medians, cells))
    _time_axis(panels[0], DECADES_US)
    _finish(
        figure,
        scheme,
        "The time of an item, between 2 and between 16 processes",
        f"10 leaves, on {run.machine.get('cores', '?')} cores. Lower is better.",
    )
    figure.subplots_adjust(left=0.065, right=0.845, top=0.8, bottom=0.09, wspace=0.5)
    return figure


def batches(run: Record, scheme: Scheme) -> Figure:
    """A row for each way to get a stacked batch, a dot for each size of a batch."""
    medians = run.medians()
    middle = BATCH_CELLS[len(BATCH_CELLS) // 2]
    rows = [
        (time, name)
        for name in run.contenders
        if name in SERIES and (time := medians.get(middle, TIME, name)) is not None
    ]
    rows.sort(reverse=True)
    figure, axes = _panels(figsize=(9.6, 0.9 + 0.42 * max(len(rows), 1) + 1.0))
    for place, (_, name) in enumerate(rows):
        series = SERIES[name]
        colour, ours = scheme(series.colour), name.startswith(OURS)
        points = [
            (time, cell)
            for cell in BATCH_CELLS
            if (time := medians.get(cell, TIME, name)) is not None
        ]
        times = [time for time, _ in points]
        axes.plot(times, [place] * len(times), color=colour, linewidth=1.4, zorder=2)
        for time, cell in points:
            axes.plot(time, place, "o", color=colour, markersize=_dot_size(cell), zorder=3)
        axes.annotate(
            f"{OURS if ours else name}: {run.contenders[name].batch_method}",
            (min(times), place),
            xytext=(0, 7),
            textcoords="offset points",
            color=colour,
            fontsize=8.5,
            fontweight="bold" if ours else "normal",
            ha="left",
            va="bottom",
        )
    axes.set_xscale("log")
    axes.set_yticks([])
    axes.set_ylim(-0.6, len(rows) - 0.1)
    axes.set_xticks(list(DECADES_US), list(DECADES_US.values()))
    axes.minorticks_off()
    lowest = min((time for time, _ in rows), default=1.0)
    highest = max((time for time, _ in rows), default=10.0)
    axes.set_xlim(lowest / 3, highest * 6)
    axes.grid(axis="x")
    _finish(
        figure,
        scheme,
        "Stacked batches of Atari transitions: the time of an item",
        "Small, middle and large dots: batches of "
        + ", ".join(str(cell.batch) for cell in BATCH_CELLS)
        + ". One process puts, one gets. Lower is better.",
    )
    figure.subplots_adjust(
        left=0.03,
        right=0.97,
        top=1 - 0.7 / figure.get_figheight(),
        bottom=0.35 / figure.get_figheight(),
    )
    return figure


def loans(run: Record, scheme: Scheme) -> Figure:
    """Zero copy is flat; copies rise."""
    medians = run.medians()
    curves: list[Curve] = []
    for series, cells, quantity, name in (
        (SERIES[COPYTO], COPY_CELLS, COPYTO, OURS),
        (SERIES[PUT], COPY_CELLS, PUT, OURS),
        (SERIES[GET], COPY_CELLS, GET, OURS),
        (SERIES["iceoryx2"].called("iceoryx2: loan and send"), LOAN_CELLS, RESERVE, "iceoryx2"),
        (
            SERIES["iceoryx2"].called("iceoryx2: receive and drop", "x"),
            LOAN_CELLS,
            BORROW,
            "iceoryx2",
        ),
        (SERIES[OURS].called(RESERVE), LOAN_CELLS, RESERVE, OURS),
        (SERIES[OURS].called(BORROW, "s"), LOAN_CELLS, BORROW, OURS),
    ):
        points = [
            (float(cell.item.nbytes), time)
            for cell in cells
            if (time := medians.get(cell, quantity, name)) is not None
        ]
        if points:
            curves.append((series, points))
    figure, axes = _panels(figsize=(9.6, 5.2))
    _draw_curves(axes, scheme, curves)
    _size_axis(axes, curves)
    _label_ends(axes, scheme, curves)
    _time_axis(axes, DECADES_US)
    _finish(
        figure,
        scheme,
        "Zero copy takes the same time at every size",
        "One process, one leaf, one element touched; beside copies of all of it. Lower is better.",
    )
    figure.subplots_adjust(left=0.078, right=0.76, top=0.84, bottom=0.09)
    return figure


DRAWINGS: dict[str, Callable[[Record, Scheme], Figure]] = {
    "sizes": sizes,
    "processes": processes,
    "batches": batches,
    "loans": loans,
}


def draw_all(run: Record, folder: Path, png: Path | None = None) -> list[Path]:
    """Draws every plot of a record into `folder`, and returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in DRAWINGS.items():
        path = folder / f"{name}.svg"
        path.write_text(with_schemes(_svg(draw, run)))
        paths.append(path)
        for scheme in Scheme if png else ():
            with matplotlib.rc_context(_style(scheme)):
                figure = draw(run, scheme)
                figure.savefig(Path(png or "") / f"{name}-{scheme.name.lower()}.png", dpi=130)
                plt.close(figure)
    return paths


def _svg(draw: Callable[[Record, Scheme], Figure], run: Record) -> str:
    with matplotlib.rc_context(_style(Scheme.LIGHT)):
        figure = draw(run, Scheme.LIGHT)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return text.getvalue()


def _style(scheme: Scheme) -> dict[str, Any]:
    return {
        "axes.edgecolor": scheme(GRID),
        "axes.facecolor": scheme(BACKGROUND),
        "axes.labelcolor": scheme(INK),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": scheme(INK),
        "figure.facecolor": scheme(BACKGROUND),
        "savefig.facecolor": scheme(BACKGROUND),
        "font.size": 9,
        "grid.color": scheme(GRID),
        "grid.linewidth": 0.6,
        "svg.hashsalt": "treequeues",
        "text.color": scheme(INK),
        "xtick.color": scheme(GRID),
        "xtick.labelcolor": scheme(MUTED),
        "ytick.color": scheme(GRID),
        "ytick.labelcolor": scheme(MUTED),
    }


def _curves(medians: Medians, cells: list[Cell]) -> list[Curve]:
    curves = []
    for name, series in SERIES.items():
        points = [
            (float(cell.item.nbytes), time)
            for cell in cells
            if (time := medians.get(cell, TIME, name)) is not None
        ]
        if points and series.in_curves:
            curves.append((series, points))
    return curves


def _draw_curves(axes: Any, scheme: Scheme, curves: list[Curve]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid()
    for series, points in curves:
        axes.plot(
            *zip(*points, strict=True),
            color=scheme(series.colour),
            marker=series.marker,
            markersize=5.5 if series.strong else 4.5,
            markeredgewidth=1.4 if series.marker in "x+" else 0,
            linestyle=series.line,
            linewidth=2.6 if series.strong else 1.4,
            zorder=4 if series.strong else 3,
            solid_capstyle="round",
        )


def _label_ends(axes: Any, scheme: Scheme, curves: list[Curve]) -> None:
    """Names right of the last points, in their order, moved apart where they would touch."""
    axes.figure.canvas.draw()  # So that the axes know their limits.
    bottom, top = axes.get_ylim()

    def height(y: float) -> float:
        """Of the axes' height, which is logarithmic."""
        return math.log(y / bottom) / math.log(top / bottom)

    places: list[float] = []
    ends = sorted(curves, key=lambda curve: curve[1][-1][1])
    for _, points in ends:
        places.append(max(height(points[-1][1]), places[-1] + LABEL_GAP if places else 0.0))
    places = _pulled_together(places, [height(points[-1][1]) for _, points in ends])
    for (series, points), place in zip(ends, places, strict=True):
        x, y = points[-1]
        colour = scheme(series.colour)
        axes.annotate(
            series.name,
            xy=(x, y),
            xycoords="data",
            xytext=(1 + LABEL_REACH, place),
            textcoords="axes fraction",
            color=colour,
            fontsize=9,
            fontweight="bold" if series.strong else "normal",
            va="center",
            ha="left",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.7,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 3,
            },
        )


def _pulled_together(places: list[float], wanted: list[float]) -> list[float]:
    """The labels, kept apart, moved down together as far as they were pushed up."""
    if not places:
        return places
    pushed = sum(place - want for place, want in zip(places, wanted, strict=True)) / len(places)
    return [place - pushed for place in places]


def _label_start(axes: Any, scheme: Scheme, series: Series, points: list[Any]) -> None:
    """A name above the first point, where nothing right of the last one is free."""
    axes.annotate(
        series.name,
        xy=points[0],
        xytext=(0, 6),
        textcoords="offset points",
        color=scheme(series.colour),
        fontsize=9,
    )


def _size_axis(axes: Any, curves: list[Curve]) -> None:
    ticks = sorted({round(nbytes) for _, points in curves for nbytes, _ in points})
    axes.set_xticks(ticks, [size_text(tick) for tick in ticks])
    axes.tick_params(axis="x", labelsize=8)
    axes.minorticks_off()


def _time_axis(axes: Any, ticks: dict[float, str]) -> None:
    bottom, top = axes.get_ylim()
    shown = {tick: text for tick, text in ticks.items() if bottom <= tick <= top}
    axes.set_yticks(list(shown), list(shown.values()))
    axes.minorticks_off()


def _panels(*shape: int, **options: Any) -> tuple[Figure, Any]:
    figure, panels = plt.subplots(*shape, **options)
    return figure, panels


def _finish(figure: Figure, scheme: Scheme, title: str, subtitle: str) -> None:
    inch = 1 / figure.get_figheight()
    figure.text(0.018, 1 - 0.3 * inch, title, fontsize=13, fontweight="bold")
    figure.text(0.018, 1 - 0.53 * inch, subtitle, fontsize=9, color=scheme(MUTED))


def _dot_size(cell: Cell) -> float:
    return 4.0 + 2.5 * [it.batch for it in BATCH_CELLS].index(cell.batch)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plots")
    parser.add_argument("record", nargs="?", type=Path, help="default: the newest")
    parser.add_argument("--folder", type=Path, default=PLOTS)
    parser.add_argument("--png", type=Path, metavar="FOLDER", help="PNG files too, to look at")
    options = parser.parse_args()
    run = record.read(options.record) if options.record else record.newest()
    if run is None:
        parser.error(f"{options.record} has an older format")
    for path in draw_all(run, options.folder, options.png):
        print(path)


if __name__ == "__main__":
    main()

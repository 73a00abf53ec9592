"""What a person sees of the Atari example: progress bars with rates, and the table at the end."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from atari import Result, Transition

console = Console(highlight=False)


class RateColumn(ProgressColumn):
    """Transitions and megabytes of frames a second: lately, and at the end over the whole run."""

    def __init__(self, frame_nbytes: int) -> None:
        super().__init__(Column(no_wrap=True))
        self.frame_nbytes = frame_nbytes

    def render(self, task: Task) -> Text:
        if not task.started:
            return Text("loading games".rjust(20))
        rate = (task.completed / task.finished_time) if task.finished_time else task.speed or 0.0
        return Text(
            f"{rate:,.0f}/s".rjust(9) + f"{rate * self.frame_nbytes / 1e6:,.0f} MB/s".rjust(11)
        )


def introduce(options: argparse.Namespace, example: Transition, batch: int) -> None:
    shape = "x".join(map(str, example["frame"].shape))
    console.print(
        f"{options.actors} actors play {options.env}, {options.steps:,} steps each "
        f"(start method: {options.start_method}).\n"
        f"The learner takes every transition ({shape} frame, action, reward, done, info)\n"
        f"in batches of {batch}, and checks the order of steps and the checksum of frames.\n"
    )


@contextlib.contextmanager
def progress_bar(title: str, total: int, frame_nbytes: int) -> Iterator[Callable[[int], None]]:
    """A bar for the block. Yields the function to call with the number of transitions so far,
    first with 0 when the work begins."""
    columns = (
        TextColumn("{task.description:<32}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        RateColumn(frame_nbytes),
    )
    with Progress(*columns, console=console, expand=True) as progress:
        task = progress.add_task(title, total=total, start=False)

        def show(received: int) -> None:
            progress.start_task(task)  # Only its first call has an effect.
            progress.update(task, completed=received)

        yield show


def conclude(results: dict[tuple[str, str], Result]) -> None:
    """The rates of `results`, by work and by kind of queue, and what they mean."""
    works = list(dict.fromkeys(work for work, _ in results))
    kinds = list(dict.fromkeys(kind for _, kind in results))
    ours, theirs = kinds

    received = sum(result.transitions for result in results.values())
    episodes = sum(result.episodes for result in results.values())
    console.print(
        f"\n{received:,} transitions received, {episodes:,} of them the end of an episode:\n"
        "no step missing, none twice, every checksum right.\n"
    )

    table = Table("Transitions a second")
    for kind in (theirs, ours, "ratio"):
        table.add_column(kind, justify="right")
    for work in works:
        rate, their_rate = results[work, ours].rate, results[work, theirs].rate
        table.add_row(work, f"{their_rate:,.0f}", f"{rate:,.0f}", f"{rate / their_rate:.1f}x")
    console.print(table)
    console.print(
        "whole job: play, put, take batches, check; most of its time is the emulator's.\n"
        "transport: the same without the emulator: the actors repeat a recording."
    )

"""What a person sees of the simulator's example: the reward rising, pictures, and a table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from simulator import Result, Transition

console = Console(highlight=False)

STANDS = 0.5  # A reward that only a pendulum near the top has.
BAR = 20  # Characters of a reward of 1.
PICTURES = 3  # Generations with a picture, the last one included.


def is_watched() -> bool:
    return console.is_terminal


def introduce(pendulums: int, steps: int) -> None:
    console.print(
        f"A simulator in Rust moves {pendulums} pendulums a generation, {steps} steps each.\n"
        "A learner in Python takes every transition (state, reward, 32x64 picture) in\n"
        "batches, in place, and searches for gains that swing a pendulum up and hold it.\n"
    )


def generation(
    number: int,
    of: int,
    rewards: NDArray[Any],
    last_rewards: NDArray[Any],
    last_frames: NDArray[np.uint8],
    rate: float,
) -> None:
    """A line for one generation, if it is one of some; and where the best pendulum ended."""
    if number > 5 and number % 10 and number != of:
        return
    mean = rewards.mean()
    console.print(
        f"generation {number:3}  reward {mean:.3f} {'█' * round(BAR * mean):<{BAR}} "
        f"{int((last_rewards > STANDS).sum()):3} of {len(rewards)} stand  {rate:>9,.0f}/s"
    )
    if is_watched() and (number < PICTURES or number == of):
        console.print(picture(last_frames[np.argmax(rewards)]))


def picture(frame: NDArray[np.uint8]) -> Text:
    """A frame in half blocks: a character has two rows of it, one above the other."""
    text = Text()
    for upper, lower in zip(frame[::2].tolist(), frame[1::2].tolist(), strict=True):
        for above, below in zip(upper, lower, strict=True):
            shade = max(above, below)
            text.append(" ▄▀█"[2 * (above > 0) + (below > 0)], f"rgb({shade},{shade},{shade})")
        text.append("\n")
    return text


@contextlib.contextmanager
def film() -> Iterator[Callable[[Transition], None]]:
    """A film for the block. Yields the function that shows the next frame."""
    with Live(console=console, auto_refresh=False) as live:

        def show(transition: Transition) -> None:
            force = float(transition["force"])
            title = f"Python drives: force {force:+6.2f} N, reward {transition['reward']:.2f}\n"
            live.update(Text(title).append(picture(transition["frame"])), refresh=True)

        yield show


def conclude(result: Result) -> None:
    """What was learnt, and how fast both processes were."""
    rate = result.transitions / result.learning_seconds
    console.print(
        f"\n{result.transitions:,} transitions received: no step missing, none twice, none out of "
        f"order.\nreward {result.first_reward:.3f} -> {result.last_reward:.3f}\n"
    )
    table = Table("What", show_header=False)
    table.add_column(justify="right")
    table.add_row("learning: transitions a second", f"{rate:,.0f}")
    table.add_row("in batches a second", f"{result.batches / result.learning_seconds:,.0f}")
    table.add_row("megabytes a second", f"{rate * result.nbytes / 1e6:,.0f}")
    if len(result.round_trips):
        median, late = np.percentile(result.round_trips, [50, 99]) * 1e6
        table.add_row(f"round trip, median of {len(result.round_trips):,}", f"{median:.1f} us")
        table.add_row("round trip, 99th percentile", f"{late:.1f} us")
    console.print(table)
    console.print(
        "learning: simulate, draw, take batches, check, learn.\n"
        "round trip: from a force put in Python, by way of Rust, to the next state got."
    )

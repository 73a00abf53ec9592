"""A camera films at 60 frames a second; a display shows the newest frame, a recorder takes all.

The camera, the parent process, lets its source draw right into the topic's memory, and waits for
nobody. The display asks for the newest frame 20 times a second, and passes over the others. The
recorder takes each frame in order. Both read the frames in place, from the very same memory, and
check that each is whole. A line a second shows who has come how far.

    python examples/camera.py --seconds 5
"""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import sys
import time
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from treequeues import ShutDown, Subscription, TreeTopic

HEIGHT, WIDTH = 1080, 1920
FRAMES_A_SECOND = 60
SHOWN_A_SECOND = 20
# A frame that is written, the newest, one that each consumer reads, and four for a recorder that
# was late for a moment.
MAXSIZE = 8


class Shot(TypedDict):
    frame: NDArray[np.uint8]  # Height x width x 3.
    number: NDArray[np.int64]
    exposed: NDArray[np.float64]  # Seconds of CLOCK_MONOTONIC.


class TornFrame(Exception):
    """A frame of which a part is another frame's."""


class Source:
    """Stands for a driver that writes a frame where it is told to: stripes that move."""

    def __init__(self) -> None:
        stripes = np.arange(256, dtype=np.uint8)[:, None].repeat(WIDTH * 3, axis=1)
        self.pattern = np.concatenate([stripes] * (HEIGHT // 256 + 2)).reshape(-1, WIDTH, 3)

    def draw(self, shot: Shot, number: int) -> None:
        first = number % 256
        np.copyto(shot["frame"], self.pattern[first : first + HEIGHT])
        shot["number"][...] = number
        shot["exposed"][...] = time.monotonic()


def check(shot: Shot) -> int:
    """The number of a frame, which its first and last line and the lines between tell too."""
    number = int(shot["number"])
    lines = (np.arange(HEIGHT) + number) % 256
    if not (shot["frame"][:, WIDTH // 2, 1] == lines).all():
        raise TornFrame(f"frame {number} is not whole")
    return number


# --- The consumers --------------------------------------------------------------------------------


class Counts:
    """What one consumer has done so far: in memory that the camera sees."""

    def __init__(self) -> None:
        self.frames = multiprocessing.Value("q", 0)
        self.missed = multiprocessing.Value("q", 0)
        self.age_ms = multiprocessing.Value("d", 0.0)

    def add(self, shot: Shot, subscription: Subscription[Shot]) -> None:
        self.frames.value += 1
        self.missed.value = subscription.missed
        self.age_ms.value = (time.monotonic() - float(shot["exposed"])) * 1e3


def display(shots: Subscription[Shot], counts: Counts) -> None:
    """Show the newest frame, so many times a second."""
    next_time = time.monotonic()
    while True:
        try:
            with shots.borrow(latest=True) as loan:
                check(loan.tree)
                counts.add(loan.tree, shots)
        except ShutDown:
            return
        next_time += 1 / SHOWN_A_SECOND
        time.sleep(max(0.0, next_time - time.monotonic()))


def record(shots: Subscription[Shot], counts: Counts) -> None:
    """Take every frame."""
    expected = 0
    while True:
        try:
            with shots.borrow() as loan:
                number = check(loan.tree)
                assert number == expected + loan.info.missed, "out of order"
                expected = number + 1
                counts.add(loan.tree, shots)
        except ShutDown:
            return


# --- The camera -----------------------------------------------------------------------------------


def film(topic: TreeTopic[Shot], seconds: float, consumers: dict[str, Counts]) -> int:
    source, began = Source(), time.monotonic()
    late = 0
    for number in range(round(seconds * FRAMES_A_SECOND)):
        due = began + number / FRAMES_A_SECOND
        time.sleep(max(0.0, due - time.monotonic()))
        late += time.monotonic() > due + 1 / FRAMES_A_SECOND
        with topic.reserve() as loan:
            source.draw(loan.tree, number)
        if (number + 1) % FRAMES_A_SECOND == 0:
            show(number + 1, consumers)
    return late


def show(frames: int, consumers: dict[str, Counts]) -> None:
    parts = [f"camera {frames}"]
    for name, counts in consumers.items():
        parts.append(
            f"{name} {counts.frames.value}, missed {counts.missed.value}, "
            f"{counts.age_ms.value:.1f} ms old"
        )
    print("; ".join(parts), flush=True)


def run(seconds: float) -> int:
    example: Shot = {
        "frame": np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        "number": np.zeros((), np.int64),
        "exposed": np.zeros(()),
    }
    topic = TreeTopic(example, MAXSIZE, populate=True)
    consumers = {"display": Counts(), "recorder": Counts()}
    processes = [
        multiprocessing.Process(
            target=function,
            args=(topic.subscribe("new"), consumers[name]),
            name=name,
            daemon=True,
        )
        for name, function in (("display", display), ("recorder", record))
    ]
    try:
        # Ctrl-C is for the camera, which ends the others.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        for process in processes:
            process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        late = film(topic, seconds, consumers)
    except KeyboardInterrupt:
        print("Interrupted. All processes are stopped.", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        topic.shutdown()  # The consumers take what is left for them, and end.
        for process in processes:
            process.join()
    for process in processes:
        if process.exitcode:
            print(f"{process.name} died with exit code {process.exitcode}", file=sys.stderr)
            return 1
    show(topic.version, consumers)
    waits = topic.stats().counters.put_waits
    print(f"the camera was late for {late} frames, and waited for a slot {waits} times")
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description="A camera, a display and a recorder.")
    parser.add_argument("--seconds", type=float, default=5.0, help="default: %(default)s")
    sys.exit(run(parser.parse_args().seconds))


if __name__ == "__main__":
    main()

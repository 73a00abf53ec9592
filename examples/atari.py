"""Several actors play an Atari game; one learner takes all transitions in batches and checks them.

Each actor is a process with a game of its own. After every step it reserves a slot of the one queue
that all actors share, lets the emulator draw the screen right into it, and adds action, reward,
flag and a nested dict. The learner, the parent process, takes batches of 32 transitions, which come
out stacked, until the last actor has left the queue, and checks that

1. the step numbers of each actor come in order, without a gap and without a repeat;
2. each frame still has the checksum that its actor took of it.

The same job runs over `multiprocessing.Queue` too. Afterwards both kinds of queue carry a recording
of the game, where no emulator takes processor time. A table shows all four rates.

    python examples/atari.py --env ALE/Pong-v5 --actors 4 --steps 5000

`InPlace` and `Pickled` are all that differs between the queues. The games are in atari_games.py,
the screen output is in atari_report.py.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import queue as standard_queue
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypedDict

import atari_report as report
import gymnasium
import numpy as np
from atari_games import Game, Recording, Source, Step
from numpy.typing import NDArray

from treequeues import Producing, TreeQueue

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Semaphore

MAXSIZE = 64  # Transitions in flight: a short pause of the learner does not stop the actors.
BATCH = 32  # Transitions that the learner takes at a time.
# The recording is so much faster than the game that as many steps of it were over too soon to time.
RECORDED_FACTOR = 4


class Transition(TypedDict):
    """What an actor puts. In a batch each leaf has one more dimension in front, of length n."""

    frame: NDArray[np.uint8]  # Height x width x 3: what the player sees after the action.
    action: NDArray[np.int64]  # This leaf and those that follow have no dimensions.
    reward: NDArray[np.float64]
    done: NDArray[np.bool_]
    info: dict[str, NDArray[Any]]  # The game's own; and actor, step and checksum for the checks.


class ActorDied(Exception):
    """An actor ended before it had put all of its steps."""


class CheckFailed(Exception):
    """A transition came twice, not at all, out of order, or with another frame."""


class Result(NamedTuple):
    transitions: int
    episodes: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.transitions / self.seconds


# --- The two ways from the actors to the learner --------------------------------------------------


class Way(Protocol):
    """A queue, and how actors and learner make the best of it."""

    queue: Any

    def __init__(self, example: Transition, actors: int) -> None: ...

    def producing(self) -> contextlib.AbstractContextManager[object]:
        """The block in which an actor puts."""

    def put(self, source: Source, step: Step, labels: dict[str, int]) -> None:
        """Put what the source shows after a step. Raises `queue.Full` after a second."""

    def batches(self, total: int, have_finished: Callable[[], bool]) -> Iterator[Transition]:
        """Stacked transitions, until all have come, or no more can come."""


class InPlace(Way):
    """treequeues: the actors write into the queue's own memory, and batches come out stacked."""

    def __init__(self, example: Transition, actors: int) -> None:
        self.queue: TreeQueue[Transition] = TreeQueue(example, MAXSIZE, producers=actors)

    def producing(self) -> Producing:
        return self.queue.producing()

    def put(self, source: Source, step: Step, labels: dict[str, int]) -> None:
        with self.queue.reserve(timeout=1) as loan:
            # Filled by a function: its names for the slot's arrays are gone when the block ends.
            fill(loan.tree, source, step, labels)

    def batches(self, total: int, have_finished: Callable[[], bool]) -> Iterator[Transition]:
        return self.queue.batches(BATCH)  # To the end: when the last actor has left, or died.


def fill(slot: Transition, source: Source, step: Step, labels: dict[str, int]) -> None:
    source.draw(slot["frame"])
    slot["action"][...] = step.action
    slot["reward"][...] = step.reward
    slot["done"][...] = step.done
    info = {**step.info, **labels, "checksum": checksum(slot["frame"])}
    for name, value in info.items():
        slot["info"][name][...] = value


class Pickled(Way):
    """multiprocessing.Queue: every transition is pickled, and the learner stacks the batches."""

    def __init__(self, example: Transition, actors: int) -> None:
        self.queue: Queue[dict[str, Any]] = multiprocessing.Queue(MAXSIZE)

    def producing(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def put(self, source: Source, step: Step, labels: dict[str, int]) -> None:
        frame = source.screen()  # A new one each time: a thread of the queue pickles it later.
        transition = {
            "frame": frame,
            "action": step.action,
            "reward": step.reward,
            "done": step.done,
            "info": {**step.info, **labels, "checksum": checksum(frame)},
        }
        self.queue.put(transition, timeout=1)

    def batches(self, total: int, have_finished: Callable[[], bool]) -> Iterator[Transition]:
        got: list[dict[str, Any]] = []
        while total:
            finished = have_finished()  # Before the get: what came after it would be missed.
            try:
                got.append(self.queue.get(timeout=1))
            except standard_queue.Empty:
                if finished:
                    return
                # It may wait here for ever if an actor was killed in the middle of a `put`.
                continue
            if len(got) == min(BATCH, total):
                total -= len(got)
                yield stack(got)
                got = []


def stack(trees: list[Any]) -> Any:
    first = trees[0]
    if isinstance(first, dict):
        return {name: stack([tree[name] for tree in trees]) for name in first}
    return np.stack(trees) if isinstance(first, np.ndarray) else np.array(trees)


def checksum(frames: NDArray[np.uint8]) -> Any:
    """The sum of a frame, taken eight bytes at a time. Of stacked frames, one sum for each."""
    return frames.reshape(*frames.shape[:-3], -1).view(np.uint64).sum(axis=-1)


# --- The actors -----------------------------------------------------------------------------------


def act(
    make_source: type[Source],
    env_id: str,
    actor: int,
    steps: int,
    way: Way,
    ready: Semaphore,
    go: Semaphore,
) -> None:
    """The whole life of one actor process."""
    source = make_source(env_id, actor)
    with way.producing():
        ready.release()
        while not go.acquire(timeout=1):
            exit_if_learner_died(way)
        for number in range(steps):
            step, labels = source.step(), {"actor": actor, "step": number}
            while True:
                try:
                    way.put(source, step, labels)
                    break
                except standard_queue.Full:
                    exit_if_learner_died(way)


def exit_if_learner_died(way: Way) -> None:
    """No actor stays behind when the learner is killed."""
    learner = multiprocessing.parent_process()
    if learner is not None and not learner.is_alive():
        way.queue.cancel_join_thread()  # Nobody will read what is still on its way.
        sys.exit()


class Actors:
    """The actor processes: started with the block, gone after it, whatever happens inside."""

    def __init__(
        self, number: int, steps: int, env_id: str, make_source: type[Source], way: Way
    ) -> None:
        # Semaphores, because a Barrier or an Event waits for ever for a process that was killed.
        self.ready, self.go = multiprocessing.Semaphore(0), multiprocessing.Semaphore(0)
        self.processes = [
            multiprocessing.Process(
                target=act,
                args=(make_source, env_id, actor, steps, way, self.ready, self.go),
                name=f"actor {actor}",
                daemon=True,
            )
            for actor in range(number)
        ]

    def __enter__(self) -> Actors:
        with ctrl_c_blocked():
            for process in self.processes:
                process.start()
        return self

    def __exit__(self, *error: object) -> None:
        # Killing a process in the middle of a `put` is safe for a TreeQueue, and no harm is done to
        # the other kind either: nobody uses that queue again.
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join()

    def begin(self) -> None:
        """Let all go once every game is loaded, so that loading does not count as playing."""
        for _ in self.processes:
            while not self.ready.acquire(timeout=0.1):
                self.all_finished()
        for _ in self.processes:
            self.go.release()

    def raise_if_one_died(self) -> None:
        """Raise ActorDied, if one did. Each has left the queue, so it has ended or is about to."""
        for process in self.processes:
            process.join(1)
        self.all_finished()

    def all_finished(self) -> bool:
        """Whether all actors have put all of their steps. Raises ActorDied if one never will."""
        exit_codes = [process.exitcode for process in self.processes]
        for process, exit_code in zip(self.processes, exit_codes, strict=True):
            if exit_code:
                raise ActorDied(f"{process.name} died with exit code {exit_code}")
        return None not in exit_codes


@contextlib.contextmanager
def ctrl_c_blocked() -> Iterator[None]:
    """Keep Ctrl-C from the processes started in this block, for life: a terminal sends it to all
    of them, but only the learner should act on it, and stop the others."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


# --- The learner ----------------------------------------------------------------------------------


def learn(way: Way, actors: Actors, steps: int, show: Callable[[int], None]) -> Result:
    """Take every transition of every actor, and check it."""
    next_steps = [0] * len(actors.processes)
    total = steps * len(next_steps)
    received = episodes = 0

    actors.begin()
    show(0)
    started = time.perf_counter()
    for batch in way.batches(total, actors.all_finished):
        actors.all_finished()  # One that died ends the job, and not after all others have ended.
        check(batch, next_steps)
        received += len(batch["done"])
        episodes += int(batch["done"].sum())
        show(received)
    if received < total:
        actors.raise_if_one_died()
        raise CheckFailed(f"{total - received} transitions never came")
    return Result(received, episodes, time.perf_counter() - started)


def check(batch: Transition, next_steps: list[int]) -> None:
    """Check a batch, where actor i goes on with step `next_steps[i]`, and count its steps there."""
    info = batch["info"]
    for i in np.flatnonzero(checksum(batch["frame"]) != info["checksum"]):
        at = f"actor {info['actor'][i]}, step {info['step'][i]}"
        raise CheckFailed(f"{at}: the frame is not the one that was put")
    for actor, first in enumerate(next_steps):
        steps = info["step"][info["actor"] == actor]
        expected = np.arange(first, first + len(steps))
        if not np.array_equal(steps, expected):
            raise CheckFailed(f"actor {actor}: expected steps {expected}, got {steps}")
        next_steps[actor] += len(steps)


# --- The whole job --------------------------------------------------------------------------------


def make_example(env_id: str) -> Transition:
    """A transition like all others: from it the queue learns shapes, dtypes and nesting."""
    game = Game(env_id, seed=0)
    counters = dict.fromkeys([*game.step().info, "actor", "step"], np.zeros((), np.int64))
    return {
        "frame": game.screen(),
        "action": np.zeros((), np.int64),
        "reward": np.zeros((), np.float64),
        "done": np.zeros((), np.bool_),
        "info": {**counters, "checksum": np.zeros((), np.uint64)},
    }


def run(options: argparse.Namespace) -> None:
    example = make_example(options.env)
    report.introduce(options, example, BATCH)

    works: dict[str, tuple[type[Source], int]] = {
        "whole job": (Game, options.steps),
        "transport": (Recording, options.steps * RECORDED_FACTOR),
    }
    ways: dict[str, type[InPlace | Pickled]] = {
        "treequeues": InPlace,
        "multiprocessing.Queue": Pickled,
    }
    results: dict[tuple[str, str], Result] = {}
    for work, (source, steps) in works.items():
        for kind, make_way in ways.items():
            way = make_way(example, options.actors)
            total = steps * options.actors
            # The actors first: a process is best forked before the progress bar has its thread.
            with (
                Actors(options.actors, steps, options.env, source, way) as actors,
                report.progress_bar(f"{work}, {kind}", total, example["frame"].nbytes) as show,
            ):
                results[work, kind] = learn(way, actors, steps, show)
            way.queue.close()
    report.conclude(results)


def main() -> None:
    options = parse_options()
    multiprocessing.set_start_method(options.start_method)
    try:
        run(options)
    except KeyboardInterrupt:
        print("Interrupted. All actors are stopped.", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except gymnasium.error.Error as error:
        sys.exit(f"{options.env}: {error}")
    except (ActorDied, CheckFailed) as error:
        sys.exit(str(error))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Actors play an Atari game, a learner checks it.")
    parser.add_argument("--env", default="ALE/Breakout-v5", help="the game (default: %(default)s)")
    parser.add_argument(
        "--actors", type=positive, default=4, help="processes (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=positive, default=5000, help="steps of each actor (default: %(default)s)"
    )
    parser.add_argument(
        "--start-method",
        choices=multiprocessing.get_all_start_methods(),
        default=multiprocessing.get_all_start_methods()[0],
        help="how processes are made (default: %(default)s)",
    )
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


if __name__ == "__main__":
    main()

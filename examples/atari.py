"""Several actors play an Atari game; one learner gets every transition and checks it.

Each actor is a process with a game of its own. After every step it puts one transition, a tree of a
frame, an action, a reward, a flag and a nested dict, into the one queue that all actors share. The
learner, the parent process, gets them all and checks that

1. the step numbers of each actor come in order, without a gap and without a repeat;
2. each frame still has the checksum that its actor took of it.

Afterwards the same job runs over `multiprocessing.Queue`, and both run once more on recorded
frames, where no emulator takes processor time. A table shows all four rates.

    python examples/atari.py --env ALE/Pong-v5 --actors 4 --steps 5000
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import queue as standard_queue
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypedDict

import ale_py
import atari_report as report
import gymnasium
import numpy as np

from treequeues import TreeQueue

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Semaphore

    TransitionQueue: TypeAlias = "TreeQueue[Transition] | Queue[Transition]"

Game: TypeAlias = "gymnasium.Env[np.ndarray, np.int64]"
Source: TypeAlias = "Callable[[Game, int, int], Iterator[Transition]]"

MAXSIZE = 64  # Transitions in flight: a short pause of the learner does not stop the actors.
RECORDED_STEPS = 64  # 6.5 MB of frames an actor: more than a processor's inner caches hold.


class Transition(TypedDict):
    """What an actor puts. The queue gives back the same types: arrays, NumPy and Python scalars."""

    frame: np.ndarray  # uint8, height x width x 3: what the player sees after the action.
    action: np.int64
    reward: float
    done: bool
    info: dict[str, int]  # The game's own, and actor, step and crc32 for the checks.


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


# --- The actors -----------------------------------------------------------------------------------


def make_game(env_id: str) -> Game:
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # Else every actor prints a banner.
    gymnasium.register_envs(ale_py)
    return gymnasium.make(env_id)


def play(game: Game, actor: int, steps: int) -> Iterator[Transition]:
    """Play at random and yield a transition for each step."""
    game.action_space.seed(actor)
    game.reset(seed=actor)
    for step in range(steps):
        action = game.action_space.sample()
        frame, reward, terminated, truncated, info = game.step(action)
        yield {
            "frame": frame,
            "action": action,
            "reward": float(reward),
            "done": terminated or truncated,
            "info": {**info, "actor": actor, "step": step, "crc32": zlib.crc32(frame.data)},
        }
        if terminated or truncated:
            game.reset()


def replay(game: Game, actor: int, steps: int) -> Iterator[Transition]:
    """Yield the steps of a short recording again and again, numbered as if they were new."""
    recording = list(play(game, actor, RECORDED_STEPS))  # Recorded now, not at the first `next`.

    def renumbered() -> Iterator[Transition]:
        for step in range(steps):
            transition = recording[step % RECORDED_STEPS]
            yield {**transition, "info": {**transition["info"], "step": step}}

    return renumbered()


def act(
    source: Source,
    options: argparse.Namespace,
    actor: int,
    queue: TransitionQueue,
    ready: Semaphore,
    go: Semaphore,
) -> None:
    """The whole life of one actor process."""
    transitions = source(make_game(options.env), actor, options.steps)
    ready.release()
    while not go.acquire(timeout=1):
        exit_if_learner_died(queue)
    for transition in transitions:
        put(queue, transition)


def put(queue: TransitionQueue, transition: Transition) -> None:
    """Like `queue.put`, but no actor stays behind when the learner is killed."""
    while True:
        try:
            return queue.put(transition, timeout=1)
        except standard_queue.Full:
            exit_if_learner_died(queue)


def exit_if_learner_died(queue: TransitionQueue) -> None:
    learner = multiprocessing.parent_process()
    if learner is not None and not learner.is_alive():
        queue.cancel_join_thread()  # Nobody will read what is still on its way.
        sys.exit()


class Actors:
    """The actor processes: started with the block, gone after it, whatever happens inside."""

    def __init__(self, options: argparse.Namespace, source: Source, queue: TransitionQueue) -> None:
        # Semaphores, because a Barrier or an Event waits for ever for a process that was killed.
        self.ready, self.go = multiprocessing.Semaphore(0), multiprocessing.Semaphore(0)
        self.processes = [
            multiprocessing.Process(
                target=act,
                args=(source, options, actor, queue, self.ready, self.go),
                name=f"actor {actor}",
                daemon=True,
            )
            for actor in range(options.actors)
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
                self.raise_if_one_died()
        for _ in self.processes:
            self.go.release()

    def raise_if_one_died(self) -> None:
        for process in self.processes:
            if process.exitcode:
                raise ActorDied(f"{process.name} died with exit code {process.exitcode}")

    def all_finished(self) -> bool:
        return all(process.exitcode == 0 for process in self.processes)


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


def learn(
    queue: TransitionQueue, actors: Actors, steps: int, show: Callable[[int], None]
) -> Result:
    """Get every transition of every actor, and check it."""
    next_steps = [0] * len(actors.processes)
    total = steps * len(next_steps)
    received = episodes = 0

    actors.begin()
    show(0)
    started = time.perf_counter()
    while received < total:
        try:
            # With a timeout, to look after the actors. (A TreeQueue keeps to it even when an actor
            # is killed in the middle of a `put`; multiprocessing.Queue then may wait for ever.)
            transition = queue.get(timeout=1)
        except standard_queue.Empty:
            actors.raise_if_one_died()
            if actors.all_finished():
                raise CheckFailed(f"{total - received} transitions never came") from None
            continue
        check(transition, next_steps)
        received += 1
        episodes += transition["done"]
        if received % 100 == 0:
            show(received)
            actors.raise_if_one_died()  # The others may go on for long, so do not wait for Empty.
    show(received)
    return Result(received, episodes, time.perf_counter() - started)


def check(transition: Transition, next_steps: list[int]) -> None:
    info = transition["info"]
    actor, step = info["actor"], info["step"]
    if step != next_steps[actor]:
        raise CheckFailed(f"actor {actor}: expected step {next_steps[actor]}, got step {step}")
    if zlib.crc32(transition["frame"].data) != info["crc32"]:
        raise CheckFailed(f"actor {actor}, step {step}: the frame is not the one that was put")
    next_steps[actor] += 1


# --- The whole job --------------------------------------------------------------------------------


def make_example(env_id: str) -> Transition:
    """A transition like all others: from it the queue learns shapes, dtypes and nesting."""
    return next(play(make_game(env_id), actor=0, steps=1))


def run(options: argparse.Namespace) -> None:
    example = make_example(options.env)
    total = options.actors * options.steps
    report.introduce(options, example)

    queues: dict[str, Callable[[], TransitionQueue]] = {
        "treequeues": lambda: TreeQueue(example, MAXSIZE),
        "multiprocessing.Queue": lambda: multiprocessing.Queue(MAXSIZE),
    }
    sources: dict[str, Source] = {"playing": play, "recorded": replay}
    results: dict[tuple[str, str], Result] = {}
    for work, source in sources.items():
        for kind, make_queue in queues.items():
            queue = make_queue()
            # The actors first: a process is best forked before the progress bar has its thread.
            with (
                Actors(options, source, queue) as actors,
                report.progress_bar(f"{work}, {kind}", total, example["frame"].nbytes) as show,
            ):
                results[work, kind] = learn(queue, actors, options.steps, show)
            queue.close()
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

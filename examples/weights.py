"""A learner publishes its weights to all actors while they play; each acts on the newest ones.

The actors play an Atari game. Before each step an actor borrows the newest weights, in place and
without waiting. Instead of a network that acts by them, it looks that they are whole: every element
of all leaves, once for each version. The learner takes the transitions in batches, and writes new
weights right into the topic's memory while the actors go on with those that they have.

At the end a table shows how many versions there were, how long one took to publish, and by how many
versions the weights lagged that the actors acted on.

    python examples/weights.py --actors 4 --steps 500 --megabytes 100

The games are in atari_games.py.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import queue as standard_queue
import signal
import sys
import time
from typing import TypedDict

import numpy as np
from atari_games import Game
from numpy.typing import NDArray

from treequeues import TreeQueue, TreeTopic

LEAVES = 10
# Versions that may be there: the newest, the one that is written, and two that actors still read.
VERSIONS = 4
MAXSIZE = 64  # Transitions in flight.
BATCH = 32
BATCHES_A_VERSION = 4  # Batches that the learner takes before it publishes new weights.

Weights = dict[str, NDArray[np.float32]]


class Transition(TypedDict):
    """What an actor puts. In a batch each leaf has one more dimension in front, of length n."""

    frame: NDArray[np.uint8]
    reward: NDArray[np.float64]
    done: NDArray[np.bool_]
    version: NDArray[np.int64]  # Of the weights that it acted on.
    lag: NDArray[np.int64]  # How many newer ones there were when it had acted.


class TornWeights(Exception):
    """An actor saw weights that are not those of one version."""


# --- The actors -----------------------------------------------------------------------------------


class Policy:
    """Stands for a network: looks at every element of each version once."""

    def __init__(self) -> None:
        self.seen = 0

    def act(self, weights: Weights, version: int) -> None:
        for name, leaf in weights.items():
            # The learner writes the version's number everywhere.
            is_whole = leaf[0] == leaf[-1] == version
            if version != self.seen:
                is_whole = is_whole and leaf.min() == leaf.max() == version
            if not is_whole:
                raise TornWeights(f"version {version}: {name} is not whole")
        self.seen = version


def act(
    transitions: TreeQueue[Transition],
    weights: TreeTopic[Weights],
    env_id: str,
    steps: int,
    seed: int,
) -> None:
    """The whole life of one actor process."""
    game, policy = Game(env_id, seed), Policy()
    with transitions.producing():
        for _ in range(steps):
            with weights.borrow_latest() as loan:
                version = loan.info.ticket
                policy.act(loan.tree, version)
            step = game.step()
            while True:
                try:
                    with transitions.reserve(timeout=1) as slot:
                        fill(slot.tree, game, step.reward, step.done)
                        slot.tree["version"][...] = version
                        slot.tree["lag"][...] = weights.version - version
                    break
                except standard_queue.Full:
                    exit_if_learner_died()


def fill(slot: Transition, game: Game, reward: float, done: bool) -> None:
    game.draw(slot["frame"])
    slot["reward"][...] = reward
    slot["done"][...] = done


def exit_if_learner_died() -> None:
    """No actor stays behind when the learner is killed."""
    learner = multiprocessing.parent_process()
    if learner is not None and not learner.is_alive():
        sys.exit()


# --- The learner ----------------------------------------------------------------------------------


def publish(weights: TreeTopic[Weights], version: int) -> float:
    """Write new weights in place; the seconds that it took."""
    started = time.perf_counter()
    with weights.reserve() as loan:
        for leaf in loan.tree.values():
            leaf.fill(version)
        del leaf  # Else a name for the topic's memory would live on.
    return time.perf_counter() - started


def learn(transitions: TreeQueue[Transition], weights: TreeTopic[Weights]) -> Summary:
    summary = Summary()
    for number, batch in enumerate(transitions.batches(BATCH), 1):
        summary.lags.extend(batch["lag"].tolist())
        if number % BATCHES_A_VERSION == 0:
            summary.seconds.append(publish(weights, weights.version + 1))
    return summary


class Summary:
    def __init__(self) -> None:
        self.lags: list[int] = []  # Of each transition.
        self.seconds: list[float] = []  # That each version took to be published.
        self.started = time.perf_counter()

    def show(self, nbytes: int, waits: int) -> None:
        elapsed = time.perf_counter() - self.started
        rate, took = len(self.lags) / elapsed, 1e3 * float(np.median(self.seconds or [0]))
        print(f"{len(self.lags):,} transitions, {rate:,.0f} a second; all acted on whole weights")
        print(
            f"{len(self.seconds)} versions of {nbytes / 1e6:,.0f} MB, each published in "
            f"{took:.1f} ms (median); the learner waited for a slot {waits} times"
        )
        shares = np.bincount(self.lags) / len(self.lags)
        shown = ", ".join(f"{lag}: {share:.1%}" for lag, share in enumerate(shares) if share)
        print(f"version lag of the actions: {shown}")


# --- The whole job --------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    elements = options.megabytes * 1_000_000 // (LEAVES * 4)
    example = {f"layer {n}": np.zeros(elements, np.float32) for n in range(LEAVES)}
    weights: TreeTopic[Weights] = TreeTopic(example, VERSIONS)
    transition: Transition = {
        "frame": Game(options.env, 0).screen(),
        "reward": np.zeros(()),
        "done": np.zeros((), np.bool_),
        "version": np.zeros((), np.int64),
        "lag": np.zeros((), np.int64),
    }
    transitions = TreeQueue(transition, MAXSIZE, producers=options.actors)
    print(
        f"{options.actors} actors play {options.env}, {options.steps:,} steps each, and act on "
        f"{options.megabytes} MB of weights in {LEAVES} leaves."
    )
    publish(weights, 1)
    actors = [
        multiprocessing.Process(
            target=act,
            args=(transitions, weights, options.env, options.steps, seed),
            name=f"actor {seed}",
            daemon=True,
        )
        for seed in range(options.actors)
    ]
    try:
        # Ctrl-C is for the learner, which stops the others.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        for actor in actors:
            actor.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        summary = learn(transitions, weights)
    except KeyboardInterrupt:
        print("Interrupted. All actors are stopped.", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        for actor in actors:
            actor.join(1)  # Each has left the queue, so it has ended or is about to.
            actor.terminate()
        for actor in actors:
            actor.join()
    for actor in actors:
        if actor.exitcode:
            print(f"{actor.name} died with exit code {actor.exitcode}", file=sys.stderr)
            return 1
    summary.show(weights.stats().item_nbytes, weights.stats().counters.put_waits)
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description="A learner publishes weights to actors that play.")
    parser.add_argument("--env", default="ALE/Breakout-v5", help="the game (default: %(default)s)")
    parser.add_argument("--actors", type=int, default=4, help="processes (default: %(default)s)")
    parser.add_argument(
        "--steps", type=int, default=2000, help="steps of each actor (default: %(default)s)"
    )
    parser.add_argument(
        "--megabytes", type=int, default=100, help="size of the weights (default: %(default)s)"
    )
    with contextlib.suppress(BrokenPipeError):
        sys.exit(run(parser.parse_args()))


if __name__ == "__main__":
    main()

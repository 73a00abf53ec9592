"""Python and Rust in one queue: a simulator in Rust, a learner in Python.

The simulator, examples/simulator, moves pendulums on carts and draws them. It writes each step's
transition, picture included, straight into a slot of one named queue. The learner takes them in
batches that are stacked already, without a copy, and searches for gains that swing a pendulum up
and hold it there: of each generation of candidates, the best make the next one (the cross-entropy
method). What it wants simulated goes back through a second named queue, as values of a type that
the simulator declares in Rust and that is a dict here.

1. The learner checks that the steps of each pendulum come in order, without a gap or a repeat.
2. With the gains that it has found it then drives a pendulum itself, a round trip a step: the force
   goes to Rust, the state that it leads to comes back. The time of that is measured.

    python examples/simulator.py --pendulums 64 --generations 60

Either process may be killed: the other one says so, and ends. The screen output is in
simulator_report.py.
"""

from __future__ import annotations

import argparse
import math
import queue as standard_queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
import simulator_report as report
from numpy.typing import NDArray

from treequeues import TreeQueue

MAXSIZE = 512  # Transitions in flight.
BATCH = 64  # Transitions that the learner takes at a time.
PATIENCE_S = 10  # For a simulator that was told to end.
FRAMES_A_SECOND = 50  # As in the simulator, where a step takes 20 ms of the pendulum's time.
MANIFEST = Path(__file__).parent / "simulator" / "Cargo.toml"
CARGO = ("cargo", "run", "--quiet", "--release", "--manifest-path", str(MANIFEST), "--")


class Transition(TypedDict):
    """What comes from the simulator. In a batch each leaf has one more dimension in front."""

    number: NDArray[np.int64]  # Of the command that it answers. Like step, is_last, force and
    step: NDArray[np.int64]  # reward it has no dimensions.
    is_last: NDArray[np.bool_]
    state: NDArray[np.float32]  # Position, speed, angle, and how fast that turns: (4,).
    force: NDArray[np.float32]
    reward: NDArray[np.float32]
    frame: NDArray[np.uint8]  # (32, 64)


class Gains(TypedDict):
    """What the simulator's controller does with the state: see pendulum.rs."""

    pump: float
    middle: NDArray[np.float64]  # (2,)
    balance: NDArray[np.float64]  # (4,)


class Command(TypedDict):
    """What goes to the simulator: the fields of its struct of this name, in any order."""

    number: int
    is_new: bool
    angle: float
    steps: int
    gains: Gains
    force: float


class SimulatorDied(Exception):
    """The simulator ended before it had answered all commands."""


class CheckFailed(Exception):
    """A transition came twice, not at all, or out of order."""


class Result(NamedTuple):
    transitions: int
    nbytes: int  # Of one transition.
    batches: int
    learning_seconds: float
    first_reward: float
    last_reward: float
    round_trips: NDArray[np.float64]  # Seconds.


def make_gains(candidate: NDArray[np.float64]) -> Gains:
    return {"pump": float(candidate[0]), "middle": candidate[1:3], "balance": candidate[3:]}


OFF = make_gains(np.zeros(7))
# From what the first generation is drawn, around nothing at all.
SPREAD = np.array([10.0, 5.0, 5.0, 3.0, 3.0, 40.0, 6.0])


# --- The simulator, as the learner sees it --------------------------------------------------------


class Simulator:
    """The process and both queues: there with the block, gone after it, whatever happens inside."""

    def __init__(self, program: list[str], name: str, commands: int) -> None:
        transition: Transition = {
            "number": np.zeros((), np.int64),
            "step": np.zeros((), np.int64),
            "is_last": np.zeros((), np.bool_),
            "state": np.zeros(4, np.float32),
            "force": np.zeros((), np.float32),
            "reward": np.zeros((), np.float32),
            "frame": np.zeros((32, 64), np.uint8),
        }
        self.item_nbytes = sum(leaf.nbytes for leaf in transition.values())  # type: ignore[attr-defined]
        # Room for a whole generation: the learner never waits here while the simulator waits there.
        self.commands: TreeQueue[Command] = TreeQueue(
            command(0, OFF), commands, name=f"{name}-commands"
        )
        self.transitions: TreeQueue[Transition] = TreeQueue(
            transition, MAXSIZE, name=f"{name}-transitions"
        )
        self.program = [*program, f"{name}-commands", f"{name}-transitions"]
        self.received = self.batches = 0

    def __enter__(self) -> Simulator:
        # A group of its own: a terminal sends Ctrl-C to the learner alone, which then ends both.
        self.process = subprocess.Popen(self.program, stdin=subprocess.DEVNULL, process_group=0)
        return self

    def __exit__(self, *error: object) -> None:
        for queue in (self.commands, self.transitions):
            queue.shutdown(immediate=True)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        # The names go with the last process that has the queues.
        self.commands.close()
        self.transitions.close()

    def ask(self, commands: list[Command]) -> None:
        while True:
            try:
                self.commands.put_many(commands, timeout=1)
                return
            except standard_queue.Full:
                self.check_that_it_lives()

    def take(self, count: int, use: Callable[[Transition], None]) -> None:
        """Take transitions in batches. `use` gets each in place: it is to keep copies alone."""
        while count:
            try:
                with self.transitions.borrow_batch(min(BATCH, count), timeout=1) as loan:
                    use(loan.tree)
                    taken = len(loan)
            except standard_queue.Empty:
                self.check_that_it_lives()
                continue
            count -= taken
            self.received += taken
            self.batches += 1

    def check_that_it_lives(self) -> None:
        code = self.process.poll()
        if code is not None:
            left = self.transitions.qsize()
            raise SimulatorDied(
                f"the simulator died with exit code {code}: {self.received:,} transitions had been "
                f"taken, and the {left:,} that it had put since are still there"
            )

    def step(self, command: Command) -> tuple[Transition, float]:
        """One round trip: a command of one step, its transition, and the seconds between."""
        began = time.perf_counter()
        self.commands.put(command, timeout=1)
        while True:
            try:
                transition = self.transitions.get(timeout=1)
                break
            except standard_queue.Empty:
                self.check_that_it_lives()
        seconds = time.perf_counter() - began
        self.received += 1
        if transition["number"] != command["number"]:
            raise CheckFailed(f"the answer to {transition['number']}, not {command['number']}")
        return transition, seconds


def command(
    number: int,
    gains: Gains,
    *,
    force: float = 0.0,
    angle: float | None = None,
    steps: int = 1,
) -> Command:
    """A command, for a new pendulum if an angle is given."""
    return {
        "number": number,
        "is_new": angle is not None,
        "angle": angle or 0.0,
        "steps": steps,
        "gains": gains,
        "force": force,
    }


# --- The learner ----------------------------------------------------------------------------------


class Generation:
    """What is known of some pendulums, while their transitions come in."""

    def __init__(self, first: int, pendulums: int, steps: int) -> None:
        self.first, self.steps = first, steps
        self.received = 0
        self.rewards = np.zeros(pendulums)  # The mean over all steps.
        self.last_rewards = np.zeros(pendulums)
        self.last_frames = np.zeros((pendulums, 32, 64), np.uint8)

    def add(self, batch: Transition) -> None:
        """Count a batch in, and check that it goes on where the last one ended."""
        who = batch["number"] - self.first
        places = who * self.steps + batch["step"]
        expected = np.arange(self.received, self.received + len(places))
        if not np.array_equal(places, expected):
            raise CheckFailed(f"expected transitions {expected}, got {places}")
        if not np.array_equal(batch["is_last"], batch["step"] == self.steps - 1):
            raise CheckFailed(f"a wrong end among transitions {expected}")
        self.received += len(places)
        self.rewards += np.bincount(who, batch["reward"], len(self.rewards)) / self.steps
        last = np.flatnonzero(batch["is_last"])
        self.last_rewards[who[last]] = batch["reward"][last]
        self.last_frames[who[last]] = batch["frame"][last]


def learn(
    simulator: Simulator, options: argparse.Namespace
) -> tuple[NDArray[np.float64], list[float], float]:
    """Search for gains. They come with each generation's mean reward, and the seconds it took."""
    rng = np.random.default_rng(options.seed)
    mean, spread = np.zeros(len(SPREAD)), SPREAD
    best = max(2, options.pendulums // 8)
    rewards = []
    # A first step, for which the simulator has to be there: starting is no part of the rates.
    simulator.step(command(-1, OFF, angle=0.0))
    started = time.perf_counter()
    for number in range(options.generations):
        candidates = mean + spread * rng.standard_normal((options.pendulums, len(SPREAD)))
        generation = Generation(number * options.pendulums, options.pendulums, options.steps)
        began = time.perf_counter()
        simulator.ask(
            [
                command(
                    generation.first + at,
                    make_gains(candidate),
                    angle=rng.uniform(-0.1, 0.1),
                    steps=options.steps,
                )
                for at, candidate in enumerate(candidates)
            ]
        )
        simulator.take(options.pendulums * options.steps, generation.add)
        report.generation(
            number + 1,
            options.generations,
            generation.rewards,
            generation.last_rewards,
            generation.last_frames,
            generation.received / (time.perf_counter() - began),
        )
        rewards.append(float(generation.rewards.mean()))
        order = np.argsort(generation.rewards)
        mean = candidates[order[-best:]].mean(0)
        # Some doubt is added, and less of it each time: else the first luck would decide.
        doubt = 0.1 * max(0.02, 1 - number / 20)
        spread = candidates[order[-best:]].std(0) + doubt * SPREAD
    return mean, rewards, time.perf_counter() - started


def force_for(gains: Gains, state: NDArray[np.float32]) -> float:
    """What the simulator's controller would do: here Python is the controller."""
    position, speed, angle, turning = state.tolist()
    if math.cos(angle) > 0.8:
        return float(gains["balance"] @ state)
    missing = turning**2 / 3 / 9.8 + math.cos(angle) - 1
    pump = gains["pump"] * missing * turning * math.cos(angle)
    return float(pump - gains["middle"] @ (position, speed))


def drive(
    simulator: Simulator,
    gains: Gains,
    rounds: int,
    show: Callable[[Transition], None] | None = None,
) -> NDArray[np.float64]:
    """Drive one pendulum from here, a round trip a step, and return how long each took. To be
    watched it goes at the pendulum's own pace; else as fast as it can."""
    transition, _ = simulator.step(command(0, OFF, angle=0.05))
    seconds = np.zeros(rounds)
    due = time.perf_counter()
    for number in range(rounds):
        force = force_for(gains, transition["state"])
        transition, seconds[number] = simulator.step(command(number, OFF, force=force))
        if show is not None:
            show(transition)
            due += 1 / FRAMES_A_SECOND
            time.sleep(max(0, due - time.perf_counter()))
    return seconds


# --- The whole job --------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> None:
    program = [str(options.binary)] if options.binary else list(CARGO)
    report.introduce(options.pendulums, options.steps)
    with Simulator(program, options.name, options.pendulums) as simulator:
        found, rewards, learning_seconds = learn(simulator, options)
        batches, gains = simulator.batches, make_gains(found)
        round_trips = drive(simulator, gains, options.rounds)
        if report.is_watched():
            with report.film() as show:
                drive(simulator, gains, options.film * FRAMES_A_SECOND, show)
        result = Result(
            options.generations * options.pendulums * options.steps,
            simulator.item_nbytes,
            batches,
            learning_seconds,
            rewards[0],
            rewards[-1],
            round_trips,
        )
    report.conclude(result)
    if simulator.process.returncode:
        raise SimulatorDied(f"the simulator ended with exit code {simulator.process.returncode}")


def main() -> None:
    options = parse_options()
    try:
        run(options)
    except KeyboardInterrupt:
        print("Interrupted. The simulator is stopped.", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except FileExistsError as error:
        sys.exit(f"{error}; or take another --name")
    except FileNotFoundError as error:
        sys.exit(f"the simulator cannot be started: {error}")
    except (SimulatorDied, CheckFailed) as error:
        sys.exit(str(error))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A learner in Python, a simulator in Rust.")
    for name, default, what in (
        ("pendulums", 64, "pendulums of a generation"),
        ("steps", 500, "steps of each pendulum"),
        ("generations", 60, "generations"),
        ("rounds", 5000, "measured round trips"),
        ("film", 6, "seconds of film, on a terminal"),
        ("seed", 1, "seed of what is drawn"),
    ):
        parser.add_argument(
            f"--{name}", type=positive, default=default, help=f"{what} (default: %(default)s)"
        )
    parser.add_argument(
        "--binary", type=Path, help="the simulator's program (default: Cargo builds and runs it)"
    )
    parser.add_argument(
        "--name", default="pendulums", help="how the queues' names begin (default: %(default)s)"
    )
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


if __name__ == "__main__":
    main()

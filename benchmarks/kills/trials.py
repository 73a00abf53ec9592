"""The rows of the table: what is tried on every queue, and under which guarantee it stands."""

from __future__ import annotations

import os
import queue as standard_queue
import resource
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders.base import CONTEXT
from benchmarks.kills import deaths
from benchmarks.kills.crew import CALL_S, PATIENCE_S, Crew, finish
from benchmarks.kills.deaths import CONSUMER, KILL, PRODUCER, STOP
from benchmarks.kills.peers import LARGE, MAXSIZE, SMALL, Peer, Torn
from benchmarks.tied import Hung

TURNS = 500  # Of each of two producers.
WRITES = 300
REFUSALS = 5
BLOCKED_S = 5.0
DEATHS = 20
LOAN_ITEMS = 1000


@dataclass(frozen=True)
class Finding:
    """What one round of a trial found. `holds` is None where there is nothing to hold."""

    holds: bool | None
    text: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """What a round is to do, and what it needs."""

    peer: Peer
    fresh: Peer  # A second queue, as new.
    folder: Path
    most: int  # Kills or stops.
    seed: int
    until: float  # Of the monotonic clock.


@dataclass(frozen=True)
class Trial:
    guarantee: str
    name: str
    run: Callable[[Order], Finding]
    rounds: bool = False  # Whether it is repeated, with another seed each time.
    frame: tuple[int, int] = LARGE


def _disturbed(kind: str, how: str) -> Callable[[Order], Finding]:
    def run(order: Order) -> Finding:
        if how == STOP and not order.peer.several:
            return Finding(None, "made for one and one: nobody is beside a stopped one")
        tally = deaths.disturb(
            order.peer, order.fresh, order.folder, kind, how, order.most, order.seed, order.until
        )
        return Finding(tally.holds(), "", tally.figures())

    return run


def _left_alone(order: Order) -> Finding:
    tally = deaths.leave_alone(order.peer, order.fresh, order.folder)
    return Finding(tally.holds(), "", tally.figures())


def _left_behind(order: Order) -> Finding:
    """A producer ends in good order, and only then are its items got."""
    crew, peer = Crew(order.peer, order.folder), order.peer

    def produce() -> None:
        for number in range(MAXSIZE):
            peer.put(peer.item(0, number), PATIENCE_S)

    def consume() -> int:
        for number in range(MAXSIZE):
            if peer.read(_get(peer)) != (0, number):
                return number
        return MAXSIZE

    if not finish(crew.start(produce)):
        return Finding(False, "the producer did not end before its items were got")
    came = crew.call(consume)
    return Finding(came == MAXSIZE, f"{came} of {MAXSIZE} items came")


def _killed_after_puts(order: Order) -> Finding:
    """Producers are killed right after their puts have returned, with nobody else at work."""
    crew, peer = Crew(order.peer, order.folder), order.peer

    def produce_and_die(producer: int) -> None:
        for number in range(MAXSIZE):
            peer.put(peer.item(producer, number), PATIENCE_S)
        os.kill(os.getpid(), signal.SIGKILL)

    def consume() -> int:
        came = 0
        while True:
            try:
                peer.read(peer.get(CALL_S))
            except standard_queue.Empty:
                return came
            came += 1

    came = 0
    for producer in range(1, DEATHS + 1):
        victim = crew.start(produce_and_die, producer)
        victim.join(2 * PATIENCE_S)
        if victim.exitcode != -signal.SIGKILL:
            lost = _lost(came, (producer - 1) * MAXSIZE)
            return Finding(False, f"no room after {_deaths(producer - 1)}; {lost}")
        put = producer * MAXSIZE
        try:
            came += crew.call(consume)
        except (Hung, RuntimeError) as error:
            return Finding(False, f"{error} after {_deaths(producer)}; {_lost(came, put)}")
    return Finding(came == put, _lost(came, put))


def _deaths(count: int) -> str:
    return f"{count} death{'s' if count != 1 else ''}"


def _lost(came: int, put: int) -> str:
    return f"lost {put - came} of {put} items whose puts had returned"


def _loan_held(order: Order) -> Finding:
    """One process holds an item and a slot; the others go round them."""
    if not order.peer.has_loans:
        return Finding(None, "has no loans")
    queue = order.peer.queue

    def work() -> int:
        queue.put(order.peer.item(0, 0))
        with queue.borrow(), queue.reserve():
            for number in range(LOAN_ITEMS):
                order.peer.put(order.peer.item(1, number), PATIENCE_S)
                if order.peer.read(order.peer.get(PATIENCE_S)) != (1, number):
                    return number
        return LOAN_ITEMS

    passed = Crew(order.peer, order.folder).call(work, 3 * PATIENCE_S)
    return Finding(passed == LOAN_ITEMS, f"{passed:,} items passed beside a loan of each kind")


def _in_turns(order: Order) -> Finding:
    """Two producers, of which each puts only when the other's put has returned."""
    if not order.peer.several:
        return Finding(None, "made for one producer")
    ours, theirs = CONTEXT.Pipe(), CONTEXT.Pipe()

    def produce(number: int, hear: Any, tell: Any) -> None:
        for sequence in range(TURNS):
            hear.recv()
            order.peer.put(order.peer.item(number, sequence), PATIENCE_S)
            tell.send(None)
        time.sleep(PATIENCE_S)  # Some lend what they put, and must not end before.

    def consume() -> list[int]:
        marks = [order.peer.read(_get(order.peer)) for _ in range(2 * TURNS)]
        return [2 * sequence + number for number, sequence in marks]

    crew = Crew(order.peer, order.folder)
    pipes = ((ours[0], theirs[0]), (theirs[1], ours[1]))
    for number, (hear, tell) in enumerate(pipes):
        crew.start(produce, number, hear, tell)
    ours[1].send(None)
    came = crew.call(consume, 3 * PATIENCE_S)
    overtaken = int((np.array(came) < np.maximum.accumulate(came)).sum())
    return Finding(overtaken == 0, f"{overtaken:,} of {2 * TURNS:,} items came out of turn")


def _kept(order: Order) -> Finding:
    """What was got stays what it was, while others put and get."""

    def work() -> int:
        kept, marks = [], []
        changed = 0
        for number in range(WRITES):
            order.peer.put(order.peer.item(0, number), PATIENCE_S)
            item = _get(order.peer)
            kept.append(item)
            marks.append(order.peer.read(item))
            if len(kept) == 2 * MAXSIZE:
                changed += _reads(order.peer, kept[0]) != marks[0]
                del kept[0], marks[0]
        return changed

    changed = Crew(order.peer, order.folder).call(work, 3 * PATIENCE_S)
    tried = WRITES - 2 * MAXSIZE + 1
    return Finding(changed == 0, f"{changed:,} of {tried:,} items changed after they were got")


def _written_after(order: Order) -> Finding:
    """What is written to the arrays after the put has returned reaches nobody."""

    def work() -> int:
        reached = 0
        for number in range(WRITES):
            item = order.peer.item(0, number)
            order.peer.put(item, PATIENCE_S)
            order.peer.overwrite(item)
            reached += _reads(order.peer, _get(order.peer)) != (0, number)
        return reached

    reached = Crew(order.peer, order.folder).call(work, 3 * PATIENCE_S)
    return Finding(
        reached == 0, f"{reached:,} of {WRITES:,} items came with what was written after the put"
    )


def _waiting(order: Order) -> Finding:
    """What a blocked get costs, and what helps a queue that was used."""
    peer = order.peer

    def work() -> tuple[float, int]:
        peer.put(peer.item(0, 0), PATIENCE_S)
        _get(peer)
        threads = len(os.listdir("/proc/self/task")) - 1
        before, began = _cpu_s(), time.monotonic()
        while (passed := time.monotonic() - began) < BLOCKED_S:
            try:
                peer.get(BLOCKED_S - passed)
            except standard_queue.Empty:
                continue
        return 100 * (_cpu_s() - before) / (time.monotonic() - began), threads

    threads_before = threading.active_count()
    cpu, threads = Crew(peer, order.folder).call(work, BLOCKED_S + PATIENCE_S)
    helpers = len(_children(os.getpid()))
    assert threads_before == 1
    text = (
        f"{cpu:.2f} % of a processor while blocked; {threads} helper threads, {helpers} processes"
    )
    return Finding(cpu <= 0.5 and not threads and not helpers, text)


def _refused_for_room(order: Order) -> Finding:
    """Puts that time out on a full queue change nothing of it."""
    crew, peer = Crew(order.peer, order.folder), order.peer

    def work() -> str:
        count = 0
        while True:
            try:
                peer.put(peer.item(0, count), CALL_S)
            except standard_queue.Full:
                break
            count += 1
        for number in range(REFUSALS):
            try:
                peer.put(peer.item(1, number), 0.05)
                return "a put on a full queue did not raise"
            except standard_queue.Full:
                continue
        for number in range(count):
            if (came := peer.read(_get(peer))) != (0, number):
                return f"item {came} came in place of {(0, number)}"
        try:
            came = peer.read(peer.get(CALL_S))
            return f"an item that was refused came: {came}"
        except standard_queue.Empty:
            return ""

    wrong = crew.call(work, 2 * PATIENCE_S)
    return Finding(not wrong, wrong or f"nothing changed by {REFUSALS} puts that raised Full")


def _refused_for_fit(order: Order) -> Finding:
    """A put of what cannot be put raises, and costs no room."""
    crew, peer = Crew(order.peer, order.folder), order.peer

    def work() -> str:
        raised = ""
        for _ in range(REFUSALS):
            try:
                peer.put(peer.unfit(), CALL_S)
            except standard_queue.Full:
                return "the queue became full of what did not fit"
            except Exception as error:
                raised = type(error).__name__
        peer.put(peer.item(0, 0), CALL_S)
        if peer.read(_get(peer)) != (0, 0):
            return "something else came"
        return "" if raised else "the put raised nothing, and the item never came"

    wrong = crew.call(work, 2 * PATIENCE_S)
    return Finding(not wrong, wrong or "it raised, and the next item came")


def _get(peer: Peer) -> Any:
    """Waits for an item: some say Empty before their time is over."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return peer.get(CALL_S)
        except standard_queue.Empty:
            if time.monotonic() > deadline:
                raise


def _reads(peer: Peer, item: Any) -> object:
    try:
        return peer.read(item)
    except Torn:
        return None


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


TRIALS = (
    Trial("", "nobody is killed: 2 producers, 2 consumers", _left_alone),
    Trial("G1", "a producer ends before its items are got", _left_behind, frame=SMALL),
    Trial(
        "G1", "producers are killed when their puts have returned", _killed_after_puts, frame=SMALL
    ),
    Trial("G1", "producers are killed", _disturbed(PRODUCER, KILL), rounds=True),
    Trial("G1", "producers are killed, items of 1 KiB", _disturbed(PRODUCER, KILL), True, SMALL),
    Trial("G1", "consumers are killed", _disturbed(CONSUMER, KILL), rounds=True),
    Trial("G1", "consumers are killed, items of 1 KiB", _disturbed(CONSUMER, KILL), True, SMALL),
    Trial("G2", "a producer is stopped", _disturbed(PRODUCER, STOP), rounds=True),
    Trial("G2", "a consumer is stopped", _disturbed(CONSUMER, STOP), rounds=True),
    Trial("G3", "a loan is held", _loan_held),
    Trial("G4", "two producers take turns", _in_turns),
    Trial("G5", "an item is kept, others come", _kept),
    Trial("G5", "arrays are written after the put", _written_after),
    Trial("G6", "a get is blocked", _waiting),
    Trial("G7", "puts time out on a full queue", _refused_for_room),
    Trial("G7", "what cannot be put is put", _refused_for_fit),
)


def run(trial: Trial, order: Order) -> Finding:
    try:
        return trial.run(order)
    except Hung as hang:
        return Finding(False, str(hang))
    except Exception as error:  # Whatever a queue raises is what was found.
        return Finding(False, f"{type(error).__name__}: {error}"[:200])

"""The rows of death and stall: victims beside a lasting producer and a lasting consumer."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.kills import crew, receipts
from benchmarks.kills.crew import LASTING, Crew
from benchmarks.kills.peers import MAXSIZE, Peer
from benchmarks.kills.results import THE_OTHERS
from benchmarks.tied import Hung

AT_WORK_S = 0.01  # After its first receipt, the longest until a victim's turn comes,
STARTING_S = 0.05  # and after its start, for every second one.
PRODUCER, CONSUMER = "producer", "consumer"
KILL, STOP = "kill", "stop"
# Where a queue hung.
AFTER_DEATH = THE_OTHERS
WHILE_STOPPED = f"{THE_OTHERS} while one was stopped"

UNDISTURBED_S = 3.0
TWO_EACH = 2


@dataclass
class Tally:
    """What one round told. `after` counts the kills or stops, the one that hung it included."""

    after: int = 0
    hang: str = ""
    put: int = 0
    got: int = 0
    lost: int = 0
    twice: int = 0
    torn: int = 0
    unknown: int = 0
    out_of_order: int = 0
    capacity_before: int = 0
    capacity_after: int = 0
    errors: dict[str, int] = field(default_factory=dict)

    def holds(self) -> bool:
        faults = (self.lost, self.twice, self.torn, self.unknown, self.out_of_order)
        return not (
            self.hang or any(faults) or self.errors or self.capacity_before != self.capacity_after
        )

    def figures(self) -> dict[str, Any]:
        return asdict(self)


def disturb(
    peer: Peer, fresh: Peer, folder: Path, kind: str, how: str, most: int, seed: int, until: float
) -> Tally:
    """Kills or stops up to `most` victims of a kind, until the monotonic clock says `until`."""
    tally = Tally(capacity_before=_measure_new(fresh, folder))
    crew_ = Crew(peer, folder)
    try:
        round_ = _Round(crew_, kind, how, random.Random(seed))
        for number in range(LASTING + 1, most + 1):
            if time.monotonic() > until:
                break
            if how == KILL:
                round_.kill_one(number, tally)
            else:
                round_.stop_one(tally)
        round_.end()
        tally.capacity_after = _measure_again(crew_)
    except Hung as hang:
        tally.hang = str(hang)
    killed_consumers = tally.after if (kind, how) == (CONSUMER, KILL) else 0
    _settle(tally, crew_, killed_consumers)
    return tally


def leave_alone(peer: Peer, fresh: Peer, folder: Path) -> Tally:
    """Two producers and two consumers that nobody disturbs, and that end when told to."""
    tally = Tally(capacity_before=_measure_new(fresh, folder))
    crew_ = Crew(peer, folder)
    producers = [crew_.start_producer(number) for number in range(TWO_EACH)]
    consumers = [crew_.start_consumer(number) for number in range(TWO_EACH)]
    time.sleep(UNDISTURBED_S)
    try:
        _end(crew_, producers, consumers)
        tally.capacity_after = _measure_again(crew_)
    except Hung as hang:
        tally.hang = str(hang)
    _settle(tally, crew_, 0)
    return tally


class _Round:
    """The lasting workers, and the victims of one kind."""

    def __init__(self, crew_: Crew, kind: str, how: str, rng: random.Random) -> None:
        self.crew = crew_
        self.rng = rng
        self.of_producers = kind == PRODUCER
        self.start = crew_.start_producer if self.of_producers else crew_.start_consumer
        self.done_by = crew_.put_by if self.of_producers else crew_.got_by
        # K7: without company, the newest victim takes the place of the lasting one.
        self.in_company = crew_.peer.several
        self.producers: list[Any] = []
        self.consumers: list[Any] = []
        self.newest = LASTING
        if self.in_company or not self.of_producers:
            self.producers.append(crew_.start_producer(LASTING))
        if self.in_company or self.of_producers:
            self.consumers.append(crew_.start_consumer(LASTING))
        if self.in_company:
            self._see_them_go_on("before anything happened")
        if how == STOP:
            self.newest += 1
            self.stopped = self.start(self.newest)
            self._kind().append(self.stopped)
            self._see_newest_begin()

    def kill_one(self, number: int, tally: Tally) -> None:
        victim = self._start_and_wait(number)
        crew.kill(victim)
        tally.after += 1
        if self.in_company:
            self._see_them_go_on(AFTER_DEATH)

    def stop_one(self, tally: Tally) -> None:
        """Of each kind two work; one is stopped at a random moment, and goes on later."""
        time.sleep(self.rng.random() * AT_WORK_S)
        crew.pause(self.stopped)
        tally.after += 1
        try:
            self._see_them_go_on(WHILE_STOPPED)
        finally:
            crew.resume(self.stopped)

    def end(self) -> None:
        if not self.in_company:
            # The last of the kind, which nobody disturbs.
            self.newest += 1
            self._kind().append(self.start(self.newest))
            self._see_newest_begin()
        _end(self.crew, self.producers, self.consumers)

    def _start_and_wait(self, number: int) -> Any:
        self.newest = number
        victim = self.start(number)
        if number % 2 == 0:
            time.sleep(self.rng.random() * STARTING_S)
            if self.in_company:
                return victim
        # Alone in its place it must begin, or the last death has hung the queue.
        self._see_newest_begin()
        time.sleep(self.rng.random() * AT_WORK_S)
        return victim

    def _see_newest_begin(self) -> None:
        if not crew.wait_for(lambda: self.done_by(self.newest)):
            raise Hung("a newcomer could not begin")
        if self.of_producers and not self.in_company:
            # A put that returned is not an item that came.
            self._see_them_go_on(AFTER_DEATH)

    def _see_them_go_on(self, when: str) -> None:
        """K1, by what the lasting consumer gets."""
        enough = self.crew.got_by(LASTING) + 2 * MAXSIZE + 2
        if not crew.wait_for(lambda: self.crew.got_by(LASTING) >= enough):
            raise Hung(when)

    def _kind(self) -> list[Any]:
        return self.producers if self.of_producers else self.consumers


def _end(crew_: Crew, producers: list[Any], consumers: list[Any]) -> None:
    crew_.stop_producers()
    crew_.stop_consumers()
    if not all([crew.finish(process) for process in consumers]):
        raise Hung("a consumer did not end")
    crew_.let_producers_go()
    if not all([crew.finish(process) for process in producers]):
        raise Hung("a producer did not end")


def _measure_new(fresh: Peer, folder: Path) -> int:
    return Crew(fresh, folder).fits()


def _measure_again(crew_: Crew) -> int:
    try:
        return crew_.fits()
    except Hung as hang:
        raise Hung("no items fit in the end") from hang


def _settle(tally: Tally, crew_: Crew, killed_consumers: int) -> None:
    crew_.kill_everybody()  # Who hangs only now and then would write on.
    tally.errors = dict(Counter(crew_.errors()))
    told = receipts.balance(crew_.folder, killed_consumers)
    tally.put, tally.got = told.put, told.got
    tally.twice, tally.torn, tally.unknown = told.twice, told.torn, told.unknown
    tally.out_of_order = told.out_of_order
    # What is still in a queue that hangs is not lost, only out of reach.
    tally.lost = 0 if tally.hang else told.lost

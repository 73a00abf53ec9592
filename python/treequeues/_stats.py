"""What `TreeQueue.stats()` and `TreeTopic.stats()` return."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueCounters:
    """What was done to a queue or a topic: by all processes since it was created, or by one since
    it attached.

    What a process that was killed had just done may be missing, by one.
    """

    puts: int
    """Items put."""
    gets: int
    """Items taken for good: by `get`, or borrowed and released. Of a topic, reads of items."""
    put_nbytes: int
    """Bytes of the items put."""
    got_nbytes: int
    """Bytes of the items taken for good."""
    full: int
    """Calls that found too few free slots when they came, and could drop nothing for it."""
    empty: int
    """Calls that found too few items when they came."""
    put_waits: int
    """Of the calls that found too few free slots, those that waited."""
    put_wait_seconds: float
    """How long those waited, all together, in seconds."""
    get_waits: int
    """Of the calls that found too few items, those that waited."""
    get_wait_seconds: float
    """How long those waited, all together, in seconds."""
    give_backs: int
    """Items given back."""
    redeliveries: int
    """Deliveries of items that had been delivered before, and came back."""
    sweeps: int
    """Looks for dead processes."""
    deaths: int
    """Processes that ended without leaving: of the queue, all that were found, each once; of one
    process, those that it was the first to find."""
    dropped: int
    """Items dropped because they had killed `max_deliveries` takers. They do not count as got."""
    overwritten: int
    """Items dropped by puts into a full queue with `overflow="drop_oldest"`. They do not count as
    got."""
    missed: int
    """Items of a topic that subscriptions passed over, each counted for each subscription."""


@dataclass(frozen=True, slots=True)
class ParticipantStats:
    """One process that is attached to a queue or a topic."""

    id: int
    """Its place among the participants, from 0 on."""
    pid: int
    """The process, as it sees its own number."""
    is_alive: bool
    """Whether it lives. One that is stopped does."""
    attached_at: float
    """When it attached: seconds since the Unix epoch."""
    writing: int
    """Slots that it is filling."""
    reading: int
    """Slots that it is reading. Of a topic, also those that its views of reads keep."""
    lingering: int
    """Slots that its views keep, whose loans have ended. Of a topic, of writes alone."""
    longest_hold_seconds: float | None
    """How long it has held the slot that it has held longest; None if it holds none. Of a topic,
    of those that it fills: reads say no time."""
    counters: QueueCounters
    """What it has done since it attached."""


@dataclass(frozen=True, slots=True)
class ProducerStats:
    """The producers of a queue that was made with `producers=`: their blocks, counted."""

    said: int
    """How many there will be, as it was said."""
    came: int
    """How many have come."""
    left: int
    """How many of these have left, an exception or the end of their process included."""
    died: int
    """How many were killed, as far as they were found."""


@dataclass(frozen=True, slots=True)
class QueueStats:
    """What was in a queue at one moment, what was done to it, and by whom.

    The slots are counted one by one: while other processes work, each count is of a slightly
    different moment, but `qsize + free + writing + reading + lingering` is always `maxsize`, unless
    the queue was shut down with `immediate=True`, which puts what was left out of reach.
    """

    maxsize: int
    """Slots of the queue: the most items that it can hold."""
    qsize: int
    """Items that can be taken."""
    free: int
    """Slots that can be filled."""
    writing: int
    """Slots that are being filled."""
    reading: int
    """Slots that are being read."""
    lingering: int
    """Slots whose readers or writers are done, while views of them still live."""
    participants: int
    """Processes attached to the queue. One that died counts until somebody finds it dead."""
    item_nbytes: int
    """Bytes of one item's leaves."""
    nbytes: int
    """Bytes of shared memory that the queue takes in all."""
    most_deaths: int
    """How many takers died with that item, of all in the queue or being read, with which most have
    died."""
    is_shut_down: bool
    """Whether `shutdown` was called, in any process, or all producers have left."""
    shut_down_by: int | None
    """The process that called it first, as it sees its own number; None if nobody has, as at the
    end of a stream, when all producers have left."""
    shut_down_at: float | None
    """When that was: seconds since the Unix epoch."""
    counters: QueueCounters
    """What all processes have done since the queue was created, those that are gone included."""
    producers: ProducerStats | None
    """The producers of a queue that was made with `producers=`."""
    by_participant: tuple[ParticipantStats, ...]
    """The processes that are attached, by their places."""


@dataclass(frozen=True, slots=True)
class SubscriptionStats:
    """One subscription to a topic."""

    pid: int
    """The process whose it is, as it sees its own number."""
    next_ticket: int
    """The lowest ticket that it may come to."""
    lag: int
    """How many items it has not come to yet."""
    missed: int
    """How many items it has passed over since it began."""


@dataclass(frozen=True, slots=True)
class TopicStats:
    """What was in a topic at one moment, what was done to it, and by whom.

    The slots are counted one by one: while other processes work, each count is of a slightly
    different moment, but `items + free + writing + lingering` is always `maxsize`.
    """

    maxsize: int
    """Slots of the topic."""
    version: int
    """The ticket of the newest item; 0 while there is none."""
    items: int
    """Items that are there."""
    reading: int
    """Of these, items that somebody reads, or keeps by views."""
    free: int
    """Slots without an item that nobody has."""
    writing: int
    """Slots that are being filled."""
    lingering: int
    """Slots whose writers are done, while views of them still live."""
    participants: int
    """Processes attached to the topic. One that died counts until somebody finds it dead."""
    item_nbytes: int
    """Bytes of one item's leaves."""
    nbytes: int
    """Bytes of shared memory that the topic takes in all."""
    is_shut_down: bool
    """Whether `shutdown` was called, in any process."""
    shut_down_by: int | None
    """The process that called it first, as it sees its own number; None if nobody has."""
    shut_down_at: float | None
    """When that was: seconds since the Unix epoch."""
    counters: QueueCounters
    """What all processes have done since the topic was created, those that are gone included."""
    subscriptions: tuple[SubscriptionStats, ...]
    """The subscriptions: of each process four at most."""
    by_participant: tuple[ParticipantStats, ...]
    """The processes that are attached, by their places."""

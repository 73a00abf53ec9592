from collections.abc import Callable, Iterable, Iterator
from types import GenericAlias, TracebackType
from typing import Any, Generic, Literal, Self, final, overload

from typing_extensions import disjoint_base

from treequeues._loans import ItemInfo
from treequeues._registry import T
from treequeues._stats import QueueStats, TopicStats

__version__: str

class SchemaError(ValueError):
    """A tree does not fit the schema of the queue.

    The message names the path of the misfit, what was expected there, what came, and what to pass
    instead, where there is something. Where a container or a leaf has the wrong type, the exception
    is also a TypeError.
    """

class _SchemaTypeError(SchemaError, TypeError): ...

class CorruptedError(OSError):
    """The shared memory of the queue is damaged: something that does not run the queue's protocol
    wrote into it.

    The message says what is damaged, where, and what is there: a field of the header and its byte,
    the schema's bytes, a slot and its state word, a cursor, or the shutdown flag.
    """

class ShutDown(Exception):
    """The queue or topic was shut down: the message says by which process, and when. From Python
    3.13 on this is `queue.ShutDown`."""

@final
class Producing:
    """The block of a producer: what `TreeQueue.producing` returns, for a `with` block.

    Its begin is counted as a producer that comes, its end as one that leaves, whether by an
    exception or not. It may be used for several blocks, and cannot be pickled.
    """

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def _end(self) -> None: ...

@disjoint_base
class TreeQueue(Generic[T]):
    """A queue of trees of arrays, shared by processes.

    All memory is reserved at creation: `maxsize` slots, each with room for one item. Arrays are
    copied into a slot by `put` and out of it by `get`; nothing is pickled. Any participant may be
    killed at any moment: the others go on, no item that is in the queue is lost, and the slots that
    it held come back.

    Pass the queue to other processes as you would a `multiprocessing.Queue`: by fork, as an
    argument of a `Process` (spawn and forkserver too), to a pool, or through another queue.

    nested_array: an example of the items: a tree of dicts, lists, tuples, namedtuples, dataclasses,
        attrs classes, None and registered nodes, whose leaves are arrays (or anything with a shape
        and a dtype), NumPy scalars, or Python bool, int, float and complex. Only its structure,
        shapes and dtypes count.
    maxsize: slots of the queue, at least 1.
    name: under which any process of this user can attach, by `attach` or `open`: 1 to 100 letters,
        digits, ".", "_" and "-", not beginning with a dot. The queue is a file then, in a folder of
        this user's in /dev/shm, or in the folder that the variable TREEQUEUES_DIR names. It goes
        with its last participant. What is left of a queue whose participants were all killed is
        replaced by the next queue of its name, or removed by the command `treequeues clean`.
    keep: whether a named queue outlives its last participant, until `unlink`.
    participants: how many processes can be attached at a time.
    populate: whether each process makes its page tables for all slots when it attaches, instead of
        at their first use. Then its first pass over the slots is as fast as the later ones, and
        attaching takes longer.
    max_deliveries: an item that has killed so many takers is dropped, instead of being delivered
        once more: its next taker, in whichever process, drops it, counts it, and goes on to the
        next item. None for no limit. What counts are takers that died with the item in hand, in a
        borrow or in the copy of a get; giving it back is no death. When the taker of a batch dies,
        that counts for each item of the batch. Until somebody comes for it, the item is in the
        queue, and in `qsize`.
    overflow: what a put does that finds the queue full: "block" waits for a slot, "drop_oldest"
        drops the oldest item and takes a slot at once, so that a slow consumer holds up nobody and
        gets the newest `maxsize` items. Any put does so, `reserve` too; a batch drops as many items
        as it lacks slots. None drops an item that somebody is reading, so with all slots in
        somebody's hands it waits, or raises `queue.Full`, as ever. What is dropped is counted
        (`stats().counters.overwritten`), and not handed to `on_drop`. It is the same for all
        processes.
    producers: how many producers there will be, each of which works inside a block, `with
        queue.producing():`. When so many blocks have begun, or more, and none is left, by their
        ends or by the deaths of their processes, the queue is shut down for draining: consumers
        take what is there, and then get ShutDown. None if nobody counts them.
    on_drop: what this object hands the items to that kill and that it drops: a function, called
        with the tree (as `get` gives it) and its ItemInfo, or a queue of the same items, which the
        tree is put into with `block=False`; if that one is full, the item is dropped with a
        RuntimeWarning. It is of this object: it travels along when the queue is pickled and is
        there after a fork, but who attaches by name has one of its own, or none. Until the item is
        handed over, its slot is held: a function may use the queue, but a `put` that waits may wait
        for that slot. What it raises comes out of the call that found the item (`queue.Empty`,
        `queue.Full` and ShutDown as the cause of a RuntimeError), and the item is given back and
        comes again. If the process dies in it, the item is dropped by the next taker without
        `on_drop`: it is handed over at most once.

    For type checkers, trees of loans and batches are of the queue's type T, although all their
    leaves are arrays; where that matters, declare scalars as arrays (`np.zeros(())`), or the queue
    as `TreeQueue[Any]`.

    Raises TypeError if a leaf cannot be carried, if an object would not come back whole (it has
    attributes beside its fields, is a dict too, or cannot be made without arguments;
    `register_node` is the way out), or if `on_drop` is neither a function nor a queue,
    SchemaError if it is a queue of other items, ValueError if a number is out of range (`maxsize`
    goes up to 2**24, `participants` to 4096, `max_deliveries` to 2**32 - 1), if there is an
    `on_drop` without `max_deliveries`, or if the name can be none, FileExistsError if a queue of
    the name is in use or kept, MemoryError, with the figures, if the memory is not there (OSError
    with ENOSPC, for a named queue). Unpickled, ConnectionError if the process that pickled it is
    gone, and OSError if all places for participants are taken.
    """

    def __init__(
        self,
        nested_array: T,
        maxsize: int,
        *,
        name: str | None = None,
        keep: bool = False,
        participants: int = 256,
        populate: bool = False,
        max_deliveries: int | None = None,
        overflow: Literal["block", "drop_oldest"] = "block",
        producers: int | None = None,
        on_drop: Callable[[T, ItemInfo], object] | TreeQueue[T] | None = None,
    ) -> None: ...
    @classmethod
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    @classmethod
    def attach(
        cls,
        name: str,
        *,
        on_drop: Callable[[T, ItemInfo], object] | TreeQueue[T] | None = None,
    ) -> Self:
        """Attach to the queue of this name, made by any process of this user.

        What its items look like stands in the queue. Items come as the example was, their classes
        where they can be imported here; else as dicts and tuples.

        Raises FileNotFoundError if there is none, OSError if participants of it have died and
        nobody lives there (ESTALE), if it is of another version of the format (EPROTONOSUPPORT), if
        all places for participants are taken (EUSERS) or if somebody who removes it does not go on
        (EBUSY), CorruptedError if it is damaged, ValueError if the name can be none, and TypeError
        or SchemaError if `on_drop` does not fit.
        """

    @classmethod
    def open(
        cls,
        name: str,
        nested_array: T,
        maxsize: int,
        *,
        keep: bool = False,
        participants: int = 256,
        populate: bool = False,
        max_deliveries: int | None = None,
        overflow: Literal["block", "drop_oldest"] = "block",
        producers: int | None = None,
        on_drop: Callable[[T, ItemInfo], object] | TreeQueue[T] | None = None,
    ) -> Self:
        """Attach to the queue of this name, or create it if there is none.

        Of several processes that open one name at once, one creates and the others attach. `keep`,
        `participants`, `populate`, `max_deliveries`, `overflow` and `producers` only count for the
        one that creates.

        Raises SchemaError, with both sides, if the queue that is there has other items or another
        `maxsize`, and else as `attach` and the class do.
        """

    def unlink(self) -> None:
        """Take the queue's name away: no other process finds it any more, and those that are
        attached go on. A name that is gone already, or another queue's by now, is left alone.
        It is found where it is by now, whatever became of the process's directory and environment.

        Raises OSError, with the path, if the file cannot be removed, and ValueError if the queue
        was created without a name.
        """

    @property
    def name(self) -> str | None:
        """The name that the queue was created with; None for one without."""

    def put(self, obj: T, block: bool = True, timeout: float | None = None) -> None:
        """Copy a tree into the queue. It is visible to readers when this returns.

        obj: a tree that fits the example: the same structure, each array of the same shape and
            dtype. Where the example has no dimensions, any scalar fits whose value does: of its own
            family of numbers or a narrower one (bool, ints, floats, complex) and exact, but for the
            digits of a Python float; a str or a bytes that has room. A buffer fits an array of its
            elements.
        block, timeout: whether to wait for a free slot, and how many seconds at most (None: for
            ever).

        With `overflow="drop_oldest"` a full queue drops its oldest item for it.

        Raises SchemaError if the tree does not fit, `queue.Full` if no slot became free in time,
        ShutDown, and ValueError after `close`. A put that raises leaves the queue as it was.
        """

    def put_nowait(self, obj: T) -> None:
        """`put(obj, block=False)`, and raises as that does."""

    @overload
    def get(
        self,
        block: bool = True,
        timeout: float | None = None,
        out: T | None = None,
        info: Literal[False] = False,
    ) -> T:
        """Take the oldest tree. Its arrays are owned by the caller and writable.

        block, timeout: whether to wait for an item, and how many seconds at most (None: for ever).
        out: a tree like the example, whose arrays are filled instead of new ones, and which is
            returned. Two leaves of it must not share memory.
        info: whether to return `(tree, info)`, with an ItemInfo.

        Raises SchemaError if `out` does not fit, `queue.Empty` if no item came in time, ShutDown
        when the queue is shut down and drained, and ValueError after `close`. A get that raises
        takes nothing.
        """

    @overload
    def get(
        self,
        block: bool = True,
        timeout: float | None = None,
        out: T | None = None,
        *,
        info: Literal[True],
    ) -> tuple[T, ItemInfo]: ...
    def get_nowait(self, out: T | None = None) -> T:
        """`get(block=False)`, and raises as that does."""

    def reserve(self, block: bool = True, timeout: float | None = None) -> WriteLoan[T]:
        """Take a free slot, to be filled in place: zero copy.

            with queue.reserve() as loan:
                loan.tree["obs"][...] = frame

        A clean end of the block commits the item, an exception aborts it. A fresh slot holds
        whatever an older item left there, or zeros. A leaf that is not filled delivers that, so
        fill every leaf, each time.

        Raises `queue.Full`, ShutDown and ValueError as `put` does.
        """

    def borrow(self, block: bool = True, timeout: float | None = None) -> ReadLoan[T]:
        """Take the oldest item, to be read in place: zero copy, read-only.

            with queue.borrow() as loan:
                use(loan.tree["obs"])

        A clean end of the block releases the slot. An exception gives the item back: it comes
        first again, to whoever takes the next one. So it does after the death of this process, once
        somebody has found it dead.

        Raises `queue.Empty`, ShutDown and ValueError as `get` does.
        """

    def put_batch(self, stacked: T, block: bool = True, timeout: float | None = None) -> None:
        """Put n items at once from a tree like the example whose leaves are arrays with one more
        dimension in front, of length n: leaf shapes (n, ...).

        It waits until n slots are free, and holds none while it waits: all items are put, in order,
        or none. So they are if this process is killed meanwhile: others may see the first ones, and
        the rest comes once somebody has found it dead.

        Raises SchemaError if a leaf does not fit or the leaves differ in n, ValueError if n is
        larger than `maxsize` or the example has no leaf, and else as `put` does.
        """

    def get_batch(
        self,
        n: int,
        min: int | None = None,
        block: bool = True,
        timeout: float | None = None,
        out: T | None = None,
    ) -> T:
        """Take the n oldest items, stacked: a tree like the example whose leaves are arrays with
        one more dimension in front, of length n: leaf shapes (n, ...). They are owned by the caller
        and writable.

        n: items to take, at most `maxsize`.
        min: to be content with fewer: waits until `min` items are there and takes what is there, up
            to n. None: exactly n.
        out: such a stacked tree, with leaf shapes (n, ...), to be filled and returned; if fewer
            than n items came, a tree of views of its first rows is returned. Two leaves of it must
            not share memory.

        It holds no slot while it waits, and one that times out has taken nothing.

        Raises `queue.Empty` if there were not enough items in time, ShutDown when the queue is shut
        down and fewer items are left than asked for (those left can still be had by asking for
        fewer), ValueError if n is not between 1 and `maxsize` or `min` not between 1 and n, or
        after `close`, and SchemaError if `out` does not fit.
        """

    def reserve_batch(
        self, n: int, min: int | None = None, block: bool = True, timeout: float | None = None
    ) -> WriteLoan[T]:
        """Take free slots that lie side by side in memory, to be filled in place as one stacked
        tree: leaf shapes (k, ...), where k is `len(loan)`.

        It waits until n slots are free (or `min`, if given), and takes the next one and those that
        follow it: k is n, or less where the ring ends or another process holds a slot in between.
        So fill `len(loan)` rows, not n. Fresh slots hold whatever older items left there, or zeros,
        and a row or a leaf that is not filled delivers that. A process that is killed while it
        commits has put all k items, or none, as by `put_batch`.

        Raises ValueError if n is not between 1 and `maxsize` or `min` not between 1 and n, and else
        as `reserve` does.
        """

    def borrow_batch(
        self, n: int, min: int | None = None, block: bool = True, timeout: float | None = None
    ) -> ReadLoan[T]:
        """Take the oldest items that lie side by side in memory, to be read in place as one stacked
        tree: leaf shapes (k, ...), where k is `len(loan)`; no copy.

        It waits until n items are there (or `min`, if given), and takes the oldest one and those
        that follow it: k is n, or less where the ring ends or an item in between is not there. It
        is always n where n divides `maxsize` and all items are put and taken n at a time.

        Raises `queue.Empty` if there were not enough items in time, ShutDown when the queue is shut
        down and fewer items are left than asked for, and ValueError if n is not between 1 and
        `maxsize` or `min` not between 1 and n, or after `close`.
        """

    def put_many(
        self, trees: Iterable[T], block: bool = True, timeout: float | None = None
    ) -> None:
        """Put trees, all or none, as `put_batch` does: it waits until all find a free slot.

        Raises ValueError if there are more of them than `maxsize`, and else as `put` does.
        """

    def get_many(self, max_items: int, block: bool = True, timeout: float | None = None) -> list[T]:
        """Take what is there, at least one tree and at most `max_items`, oldest first.

        Raises ValueError if `max_items` is below 1, and else as `get` does.
        """

    def producing(self) -> Producing:
        """The block of a producer, in a queue that was made with `producers=`.

            with queue.producing():
                for step in range(1000):
                    queue.put(make(step))

        When as many blocks have begun as were said, or more, and none is left, the queue is shut
        down for draining. Blocks are counted, not processes: a process, or a thread, may have
        several, one after the other or at once, and a forked child has none of its parent's. A
        block is left by its end, by an exception, by `close` and by the end of the process. One
        whose process is killed has died, and is found within a fifth of a second by whoever waits.

        Raises ValueError if the queue was made without `producers=`, or after `close`, and
        ShutDown, at its begin, if the stream has ended or the queue was shut down.
        """

    def batches(self, n: int, drop_last: bool = False, timeout: float | None = None) -> Iterator[T]:
        """Takes stacked batches of n items, as `get_batch` does, until the queue is shut down and
        drained:

            for batch in queue.batches(32):
                learn(batch)

        The last one is what is left, and may be shorter; with `drop_last=True` it stays in the
        queue. `timeout` is for each batch, in seconds; None waits for ever.

        Raises ValueError if n is not between 1 and `maxsize`, or after `close`, and `queue.Empty`
        if a batch did not come in time.
        """

    def qsize(self) -> int:
        """How many items can be taken. In a queue of more than 1024 slots, those that are being
        written or read may be counted, too.
        """

    def empty(self) -> bool:
        """Whether no item can be taken."""

    def full(self) -> bool:
        """Whether no slot can be filled: each holds an item, is being written or read, or is kept
        by views that outlived their loan. With `overflow="drop_oldest"` a put makes room then."""

    @property
    def maxsize(self) -> int:
        """Slots of the queue."""

    @property
    def max_deliveries(self) -> int | None:
        """How many takers an item may kill before it is dropped; None for no limit. It is the same
        for all processes."""

    @property
    def overflow(self) -> Literal["block", "drop_oldest"]:
        """What a put does that finds the queue full. It is the same for all processes."""

    @property
    def producers(self) -> int | None:
        """How many producers there will be; None if that was not said. It is the same for all
        processes."""

    @property
    def on_drop(self) -> Callable[[T, ItemInfo], object] | TreeQueue[T] | None:
        """What this object hands the items to that it drops; None if nothing."""

    @property
    def nbytes(self) -> int:
        """Bytes of shared memory that the queue takes in all."""

    def stats(self) -> QueueStats:
        """What is in the queue, what was done to it, and by whom. With more than 4096 slots, what
        is said of slots may be up to 100 ms old, or 400 times as old as a look at all of them
        takes.
        """

    def close(self) -> None:
        """End this process's use of the queue: later calls raise ValueError. Other processes go on,
        and loans that are open, and views, stay valid and can still be ended.

        If this process was the last one that was attached to a named queue, its file is removed,
        unless it is to be kept. Items that are lost with it are a ResourceWarning, and so is a file
        that cannot be removed.
        """

    def shutdown(self, immediate: bool = False) -> None:
        """Shut the queue down for every process: puts raise ShutDown, gets drain what is there and
        then raise it.

        It is the end for everyone, so let the process call it that knows that all producers are
        done.

        immediate: gets raise at once too.

        Raises ValueError after `close`.
        """

    def join_thread(self) -> None:
        """Nothing to wait for: there is no feeder thread."""

    def cancel_join_thread(self) -> None:
        """Nothing to cancel: there is no feeder thread."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __iter__(self) -> Iterator[T]:
        """Take items, as `get()` does, until the queue is shut down and drained: ShutDown ends the
        loop, and is not raised.

        Raises ValueError after `close`."""

    def __next__(self) -> T:
        """The oldest tree, as `get()` takes it. Raises StopIteration where `get` would raise
        ShutDown, and else as `get` does."""

    def _attach(
        self,
        pid: int,
        fd: int,
        segment: bytes,
        name: str | None,
        folder: str | None,
        passed: int | None,
    ) -> None: ...
    @staticmethod
    def _leave_names() -> None: ...
    def _close_at_exit(self) -> None: ...
    def _handle(self) -> tuple[int, int, bytes, str | None, str | None]: ...
    def _is_of_arrays(self) -> bool: ...
    def _left_unshared(self) -> int: ...

@disjoint_base
class TreeTopic(Generic[T]):
    """A topic of trees of arrays, shared by processes: each item for every subscriber, and the
    newest for whoever asks.

    All memory is reserved at creation: `maxsize` slots, each with room for one item, which all
    readers share. Publishers never wait for subscribers that hold nothing, however slow they are,
    stopped or dead: the oldest item that nobody reads makes room. A put waits only while each slot
    is being read, or written, or has the newest item: with a `maxsize` of the items that are read
    at the same time, the publishers, and one more, it never does.

    Any participant may be killed at any moment: the others go on, and the newest item stays.

    A process that is forked from a participant is one of its own from its first call on. Pickled
    (as an argument of a process, or through a queue) a topic leads to the same memory. In each
    process all objects of one topic are one participant. Threads may share an object.

    nested_array: an example of the items, as `TreeQueue` takes it. Only its structure, shapes and
        dtypes count.
    maxsize: slots of the topic, at least 2 and at most 65536.
    name: under which any process of this user can attach; None for one that only travels by fork,
        as an argument, or through queues.
    keep: whether a named topic, with its last items, outlives its last participant, until `unlink`.
    participants: how many processes can be attached at a time.
    populate: whether each process makes its page tables for all slots when it attaches, instead of
        at their first use.

    Raises as `TreeQueue` does.
    """

    def __init__(
        self,
        nested_array: T,
        maxsize: int = 4,
        *,
        name: str | None = None,
        keep: bool = False,
        participants: int = 64,
        populate: bool = False,
    ) -> None: ...
    @classmethod
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    @classmethod
    def attach(cls, name: str) -> Self:
        """Attach to the topic of this name, made by any process of this user.

        Raises as `TreeQueue.attach` does, and OSError (EPROTOTYPE) if it is a queue.
        """

    @classmethod
    def open(
        cls,
        name: str,
        nested_array: T,
        maxsize: int = 4,
        *,
        keep: bool = False,
        participants: int = 64,
        populate: bool = False,
    ) -> Self:
        """Attach to the topic of this name, or create it if there is none.

        Raises SchemaError, with both sides, if the topic that is there has other items or another
        `maxsize`, and else as `attach` and the class do.
        """

    def unlink(self) -> None:
        """Take the topic's name away: no other process finds it any more, and those that are
        attached go on.

        Raises OSError, with the path, if the file cannot be removed, and ValueError if the topic
        was created without a name.
        """

    @property
    def name(self) -> str | None:
        """The name that the topic was created with; None for one without."""

    def put(self, obj: T, block: bool = True, timeout: float | None = None) -> None:
        """Copy a tree into the topic. It is the newest item when this returns.

        Raises SchemaError if the tree does not fit, queue.Full if no slot could be had in time
        (`timeout` is in seconds; None waits for ever), with who reads and writes what, ShutDown,
        and ValueError after close. A put that raises leaves the topic as it was.
        """

    def put_nowait(self, obj: T) -> None:
        """`put(obj, block=False)`, and raises as that does."""

    def reserve(self, block: bool = True, timeout: float | None = None) -> WriteLoan[T]:
        """Take a slot, to be filled in place: a `WriteLoan`, for a `with` block. A clean end
        commits it, which makes it the newest item, an exception aborts it.

        A fresh slot holds whatever an older item left there, or zeros. A leaf that is not filled
        delivers that.

        Raises queue.Full, ShutDown and ValueError as `put` does.
        """

    @overload
    def latest(
        self,
        block: bool = True,
        timeout: float | None = None,
        out: T | None = None,
        info: Literal[False] = False,
    ) -> T:
        """A copy of the newest tree, which stays; it waits for the first one. Its arrays are owned
        by the caller and writable.

        With `out=`, a tree like the example, its arrays are filled instead of new ones, and it is
        returned. With `info=True` a pair of the tree and its `ItemInfo` is returned.

        Raises SchemaError if `out` does not fit, queue.Empty if none came in time (`timeout` is in
        seconds; None waits for ever), ShutDown if none can come, or the topic was shut down with
        `immediate=True`, and ValueError after close.
        """

    @overload
    def latest(
        self,
        block: bool = True,
        timeout: float | None = None,
        out: T | None = None,
        *,
        info: Literal[True],
    ) -> tuple[T, ItemInfo]: ...
    def borrow_latest(self, block: bool = True, timeout: float | None = None) -> ReadLoan[T]:
        """The newest item, to be read in place: a `ReadLoan`, for a `with` block, which any number
        of readers have at once. Its arrays are read-only, and so is their memory: a write that gets
        around NumPy is a SIGSEGV.

        Raises queue.Empty, ShutDown and ValueError as `latest` does.
        """

    def subscribe(self, start: Literal["latest", "oldest", "new"] = "latest") -> Subscription[T]:
        """Subscribe: to each item from now on ("new"), from the newest one that is there on
        ("latest"), or from the oldest ("oldest").

        Raises ValueError if `start` is another str, TypeError if it is none, and ValueError after
        close.
        """

    @property
    def version(self) -> int:
        """The ticket of the newest item: how many have been put. 0 while there is none."""

    @property
    def maxsize(self) -> int:
        """Slots of the topic."""

    @property
    def nbytes(self) -> int:
        """Bytes of shared memory that the topic takes in all."""

    def stats(self) -> TopicStats:
        """What is in the topic, what was done to it, and by whom.

        Raises ValueError after close.
        """

    def close(self) -> None:
        """End this process's use of the topic, its subscriptions included: later calls raise
        ValueError. Other processes go on. The last one that leaves a named topic removes its file,
        unless it is to be kept.
        """

    def shutdown(self, immediate: bool = False) -> None:
        """Shut the topic down for every process: puts raise ShutDown, subscriptions get what is
        left for them and then raise it, and the newest item stays to be read. With
        `immediate=True` all raise at once.

        Raises ValueError after close.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def _attach(
        self,
        pid: int,
        fd: int,
        segment: bytes,
        name: str | None,
        folder: str | None,
        passed: int | None,
    ) -> None: ...
    def _close_at_exit(self) -> None: ...
    def _handle(self) -> tuple[int, int, bytes, str | None, str | None]: ...
    def _is_of_arrays(self) -> bool: ...
    def _left_unshared(self) -> int: ...
    def _subscribe_from(self, ticket: int) -> Subscription[T]: ...

@final
class Subscription(Generic[T]):
    """A subscription to a topic: what `TreeTopic.subscribe` returns.

    `for tree in subscription` takes trees, as `get` does, until the topic is shut down and what was
    left was had.

    It belongs to this object. Threads may share it: each item goes to one of them. In a forked
    child, and unpickled in another process, it is another one, which begins where the original
    stood. A `with` block closes it.
    """

    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    @overload
    def get(
        self,
        block: bool = True,
        timeout: float | None = None,
        out: T | None = None,
        info: Literal[False] = False,
        *,
        latest: bool = False,
    ) -> T:
        """Take the next tree in order; with `latest=True` the newest one, of those that it has not
        had. Its arrays are owned by the caller and writable.

        With `out=`, a tree like the example, its arrays are filled instead of new ones, and it is
        returned. With `info=True` a pair of the tree and its `ItemInfo` is returned, whose `missed`
        says how many were passed over just before it.

        Raises SchemaError if `out` does not fit, queue.Empty if nothing came in time (`timeout` is
        in seconds; None waits for ever), ShutDown when the topic is shut down and nothing is left
        for this subscription, and ValueError after close. An item whose tree cannot be made, since
        a function of the user's raises, was passed.
        """

    @overload
    def get(
        self,
        block: bool = True,
        timeout: float | None = None,
        out: T | None = None,
        *,
        info: Literal[True],
        latest: bool = False,
    ) -> tuple[T, ItemInfo]: ...
    def get_nowait(self, out: T | None = None) -> T:
        """`get(block=False)`, and raises as that does."""

    def borrow(
        self, block: bool = True, timeout: float | None = None, *, latest: bool = False
    ) -> ReadLoan[T]:
        """Take the next item in order, or with `latest=True` the newest one of those that it has
        not had, to be read in place: a `ReadLoan`, for a `with` block, which any number of readers
        have at once.

        Raises queue.Empty, ShutDown and ValueError as `get` does.
        """

    @property
    def missed(self) -> int:
        """How many items it has passed over since it began: replaced before it came to them, or
        skipped by `latest=True`. With those that it has had, these are all from its beginning on.
        It can be read after the close.
        """

    @property
    def next_ticket(self) -> int:
        """The lowest ticket that it may come to."""

    @property
    def topic(self) -> TreeTopic[T]:
        """The topic."""

    def close(self) -> None:
        """End the subscription: later calls raise ValueError."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __iter__(self) -> Iterator[T]: ...
    def __next__(self) -> T: ...

@final
class WriteLoan(Generic[T]):
    """A reserved slot, or several side by side, until `commit` or `abort`.

    As a context manager it commits at the clean end of the block, and aborts at an exception. One
    that dies without either aborts, with a ResourceWarning.

    A view that outlives its loan (people write `obs = loan.tree["obs"]`) could still write while
    others read. So then `commit` copies the item into another slot and publishes that one, warns
    once (HeldViewWarning), and the first slot is free when the view dies. It waits for the other
    slot as `reserve` was told to wait, and raises as that would. It raises BufferError, and the
    item is not put, where no other slot will surely become free: where views keep too many of them,
    or where its thread has another loan of the queue.
    """

    @classmethod
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    @property
    def tree(self) -> T:
        """The slot as a tree like the example, whose leaves are all writable arrays: those of
        scalars have no dimensions. Of a batch, the leaves are stacked: shapes (len(loan), ...).
        They begin with whatever an older item left there.

        Leaves are written in place: `loan.tree["reward"][...] = 1.5`. One that was replaced,
        `loan.tree["reward"] = 1.5`, is copied into the slot by `commit`, as `put` would.

        Raises ValueError when the loan has ended.
        """

    def write(self, tree: T) -> None:
        """Copy a tree into the slot, as `put` would. Of a batch, a stacked tree.

        Raises SchemaError if it does not fit, and ValueError when the loan has ended.
        """

    def commit(self) -> None:
        """Publish: readers see the item when this returns.

        Raises SchemaError if a leaf was replaced by what does not fit: then the loan is aborted.
        BufferError, `queue.Full` or ShutDown if a view is still alive and the item cannot be copied
        into another slot: then it is not put. ValueError when the loan has ended.
        """

    def abort(self) -> None:
        """Give the slot back unwritten. ValueError when the loan has ended."""

    def __len__(self) -> int:
        """Slots: 1, or those of the batch."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class ReadLoan(Generic[T]):
    """A borrowed item, or several side by side, until `release` or `give_back`.

    As a context manager it releases at the clean end of the block, and gives back at an exception.
    One that dies without either gives back too, with a ResourceWarning. An item of a topic, which
    others may read at the same time, is released in any case.

    Arrays, and whatever was made from them without a copy, may outlive the loan: the slot stays
    held until the last of them dies. It costs capacity, and never dangles. An item that was
    released does not come again, even if this process dies first; one that was given back comes
    again when the last view of it has died.
    """

    @classmethod
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    @property
    def tree(self) -> T:
        """The item as a tree like the example, whose leaves are all read-only arrays: those of
        scalars have no dimensions. Of a batch, the leaves are stacked: shapes (len(loan), ...).

        Raises ValueError when the loan has ended.
        """

    @property
    def info(self) -> ItemInfo:
        """The item's ticket, put time, producer and delivery count. Of a batch, those of its first
        item; `infos` has all. It can be read after the loan has ended."""

    @property
    def infos(self) -> list[ItemInfo]:
        """One ItemInfo for each item of the loan."""

    def release(self) -> None:
        """End the read: the slot is free again. ValueError when the loan has ended."""

    def give_back(self) -> None:
        """Put the item back: it comes first again, once no view of it lives; a traceback may hold
        one.

        Raises ValueError when the loan has ended, and for an item of a topic, which comes to each
        reader once.
        """

    def __len__(self) -> int:
        """Items: 1, or those of the batch."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

def _command(argv: list[str], restart: list[str]) -> int: ...
def _pickle_schema_type_error(error: Any) -> tuple[Any, Any]: ...
def _unpickle_schema_type_error(*args: Any) -> Any: ...

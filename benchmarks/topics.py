"""Topics: one item for all readers, from the put until the last of them has it.

    python -m benchmarks.topics            about three minutes; writes a record
    python -m benchmarks.topics --quick    some seconds, without a record

1. *Weights*: 100 MB in 10 leaves to 8 readers, each of which reads a byte of each leaf. Beside it,
   in the same rounds, `numpy.copyto` of the same, and other ways to reach 8 readers.
2. *A frame*: 6.2 MB to 3 readers that wait. What is counted is the time beyond the copy's, beside
   that of a bare futex, which is the system's own.
3. *Borrow*: `borrow_latest` and release, of small and of large items.

Rounds are interleaved, every way once in each, and what is printed are medians and quartiles.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import itertools
import mmap
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import shared_memory
from statistics import median, quantiles
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks import record
from benchmarks.record import Description, Measurement, Record
from benchmarks.tied import Hung, fork_tied, kill, wait_until_asleep
from treequeues import TreeTopic

RECORDS = record.RECORDS / "topics"
Tree = dict[str, NDArray[Any]]
WEIGHTS_LEAVES, WEIGHTS_NBYTES, READERS = 10, 100_000_000, 8
FRAME, WATCHERS = (1080, 1920, 3), 3
SLOTS = 3  # For one item that all read, one that is written, and the newest.
PAUSE_S = 0.02  # Between two rounds: whoever waits has fallen asleep by then.
WATCHDOG_S = 60.0
POLL_S = 0.0001
COPYTO = "numpy.copyto"
# Of the system, on x86-64.
SYS_FUTEX, FUTEX_WAIT, FUTEX_WAKE, INT_MAX = 202, 0, 1, 2**31 - 1


class Way(Protocol):
    """How an item comes to all readers."""

    name: str
    method: str
    remark: str  # What it does not promise.

    def __init__(self, example: Tree, readers: int) -> None: ...

    def nbytes(self) -> int:
        """Bytes of memory that are shared."""

    def putter(self) -> Callable[[Tree], None]: ...

    def getter(self, reader: int) -> Callable[[], None]:
        """What waits for the next item, and reads a byte of each leaf."""

    def close(self) -> None: ...


def touch(leaves: Any) -> int:
    return sum(int(leaf.reshape(-1)[0]) for leaf in leaves)


class Topic:
    name = "treequeues"
    method = "put; a subscription that borrows"
    remark = ""

    def __init__(self, example: Tree, readers: int) -> None:
        self.topic = TreeTopic(example, SLOTS)

    def nbytes(self) -> int:
        return self.topic.nbytes

    def putter(self) -> Callable[[Tree], None]:
        return self.topic.put

    def getter(self, reader: int) -> Callable[[], None]:
        subscription = self.topic.subscribe("new")

        def get() -> None:
            with subscription.borrow() as loan:
                touch(loan.tree.values())

        return get

    def close(self) -> None:
        self.topic.close()


class Queues:
    name = "multiprocessing.Queue, one a reader"
    method = "put to each; get"
    remark = "a copy for each reader; the publisher waits for the slowest"

    def __init__(self, example: Tree, readers: int) -> None:
        self.queues: list[Any] = [multiprocessing.Queue(1) for _ in range(readers)]
        self.n = sum(leaf.nbytes for leaf in example.values()) * readers

    def nbytes(self) -> int:
        return self.n

    def putter(self) -> Callable[[Tree], None]:
        def put(item: Tree) -> None:
            for queue in self.queues:
                queue.put(item)

        return put

    def getter(self, reader: int) -> Callable[[], None]:
        queue = self.queues[reader]

        def get() -> None:
            touch(queue.get().values())

        return get

    def close(self) -> None:
        for queue in self.queues:
            queue.cancel_join_thread()
            queue.close()


class LockedArray:
    name = "a lock and one shared array"
    method = "copy with the lock held, notify; read with the lock held"
    remark = "a reader that keeps the lock, or dies with it, stops everybody; one version alone"

    def __init__(self, example: Tree, readers: int) -> None:
        self.condition = multiprocessing.Condition()
        self.version = multiprocessing.RawValue("q", 0)
        self.memory = {
            name: shared_memory.SharedMemory(create=True, size=leaf.nbytes)
            for name, leaf in example.items()
        }
        self.leaves = {
            name: np.ndarray(example[name].size, example[name].dtype, memory.buf)
            for name, memory in self.memory.items()
        }

    def nbytes(self) -> int:
        return sum(memory.size for memory in self.memory.values())

    def putter(self) -> Callable[[Tree], None]:
        def put(item: Tree) -> None:
            with self.condition:
                for name, leaf in item.items():
                    np.copyto(self.leaves[name], leaf.reshape(-1))
                self.version.value += 1
                self.condition.notify_all()

        return put

    def getter(self, reader: int) -> Callable[[], None]:
        seen = self.version.value

        def get() -> None:
            nonlocal seen
            with self.condition:
                self.condition.wait_for(lambda: self.version.value > seen)
                seen = self.version.value
                touch(self.leaves.values())

        return get

    def close(self) -> None:
        self.leaves.clear()
        for memory in self.memory.values():
            memory.close()
            memory.unlink()


class BareFutex:
    """The least that wakes processes: what is left of a time is not the topic's."""

    name = "a shared array and a bare futex"
    method = "copy, one FUTEX_WAKE; FUTEX_WAIT"
    remark = "a reader may see half of the next item; nothing else is promised either"

    def __init__(self, example: Tree, readers: int) -> None:
        self.libc = ctypes.CDLL(None)
        self.word: NDArray[np.int32] = np.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), np.int32, 1)
        self.address = ctypes.c_void_p(self.word.ctypes.data)
        self.leaves = {
            name: np.frombuffer(mmap.mmap(-1, leaf.nbytes), leaf.dtype).reshape(leaf.shape)
            for name, leaf in example.items()
        }

    def nbytes(self) -> int:
        return sum(leaf.nbytes for leaf in self.leaves.values())

    def putter(self) -> Callable[[Tree], None]:
        def put(item: Tree) -> None:
            for name, leaf in item.items():
                np.copyto(self.leaves[name], leaf)
            self.word[0] += 1
            self.libc.syscall(SYS_FUTEX, self.address, FUTEX_WAKE, INT_MAX, None, None, 0)

        return put

    def getter(self, reader: int) -> Callable[[], None]:
        seen = int(self.word[0])

        def get() -> None:
            nonlocal seen
            while int(self.word[0]) == seen:
                self.libc.syscall(SYS_FUTEX, self.address, FUTEX_WAIT, seen, None, None, 0)
            seen = int(self.word[0])
            touch(self.leaves.values())

        return get

    def close(self) -> None:
        self.leaves.clear()


class Iceoryx2:
    name = "iceoryx2"
    method = "loan, copy into it, send; receive"
    remark = "no trees, no count of what was missed; readers poll, here each 0.1 ms"
    numbers = itertools.count()

    def __init__(self, example: Tree, readers: int) -> None:
        import iceoryx2

        iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
        self.name_of_service = f"treequeues-topics/{os.getpid()}/{next(self.numbers)}"
        self.readers = readers
        self.places, self.n = {}, 0
        for name, leaf in example.items():
            self.places[name] = self.n
            self.n += -(-leaf.nbytes // 64) * 64
        self.kept: list[Any] = []

    def nbytes(self) -> int:
        return self.n * SLOTS

    def service(self) -> Any:
        import iceoryx2

        node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
        builder = node.service_builder(iceoryx2.ServiceName.new(self.name_of_service))
        service = (
            builder.publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
            .payload_alignment(iceoryx2.Alignment.new(64))
            .max_publishers(1)
            .max_subscribers(self.readers)
            .history_size(0)
            .subscriber_max_buffer_size(1)
            .subscriber_max_borrowed_samples(1)
            .enable_safe_overflow(True)
            .open_or_create()
        )
        self.kept += [node, service]
        return service

    def putter(self) -> Callable[[Tree], None]:
        publisher = self.service().publisher_builder().initial_max_slice_len(self.n).create()
        self.kept.append(publisher)
        address_type = ctypes.c_uint8 * self.n
        view_of: Any = np.frombuffer

        def put(item: Tree) -> None:
            sample = publisher.loan_slice_uninit(self.n)
            place = view_of(address_type.from_address(sample.payload_ptr), np.uint8)
            for name, leaf in item.items():
                first = self.places[name]
                np.copyto(place[first : first + leaf.nbytes], leaf.reshape(-1).view(np.uint8))
            sample.assume_init().send()

        return put

    def getter(self, reader: int) -> Callable[[], None]:
        subscriber = self.service().subscriber_builder().buffer_size(1).create()
        address_type = ctypes.c_uint8 * self.n
        view_of: Any = np.frombuffer

        def get() -> None:
            while (sample := subscriber.receive()) is None:
                time.sleep(POLL_S)
            place = view_of(address_type.from_address(sample.payload_ptr), np.uint8)
            touch(place[first : first + 1] for first in self.places.values())
            sample.delete()

        return get

    def close(self) -> None:
        self.kept.clear()


WAYS: tuple[type[Way], ...] = (Topic, Iceoryx2, Queues, LockedArray, BareFutex)


@dataclass
class Crowd:
    """Readers of one way, each a process that says when it has an item."""

    way: Way
    put: Callable[[Tree], None]
    had: NDArray[np.int64]  # For each reader, the time of its last item, in nanoseconds.
    pids: list[int]

    def seconds_of(self, item: Tree) -> float:
        """From the put until the last reader has the item."""
        for pid in self.pids:
            if not isinstance(self.way, Iceoryx2):  # It never sleeps for long.
                wait_until_asleep(pid, WATCHDOG_S)
        time.sleep(PAUSE_S)
        before = self.had.copy()
        began = time.monotonic_ns()
        self.put(item)
        deadline = time.monotonic() + WATCHDOG_S
        while (self.had == before).any():
            if time.monotonic() > deadline:
                raise Hung(f"{self.way.name}: not all readers have the item")
            time.sleep(0.001)
        return float(self.had.max() - began) / 1e9


@contextlib.contextmanager
def crowd_of(make: type[Way], example: Tree, readers: int) -> Iterator[Crowd]:
    had: NDArray[np.int64] = np.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), np.int64, readers)
    way = make(example, readers)
    ready = multiprocessing.Semaphore(0)

    def read(reader: int) -> None:
        get = way.getter(reader)
        ready.release()
        while True:
            get()
            had[reader] = time.monotonic_ns()

    pids = [fork_tied(lambda reader=reader: read(reader)) for reader in range(readers)]  # type: ignore[misc]
    try:
        for _ in pids:
            if not ready.acquire(timeout=WATCHDOG_S):
                raise Hung(f"{way.name}: a reader did not begin")
        yield Crowd(way, way.putter(), had, pids)
    finally:
        for pid in pids:
            kill(pid)
        way.close()


def measure(
    run: Record, measure: str, item: Tree, readers: int, ways: list[type[Way]], rounds: int
) -> dict[str, list[float]]:
    """Seconds of each round by way, and those of `numpy.copyto`."""
    own = {name: np.zeros_like(leaf) for name, leaf in item.items()}
    seconds: dict[str, list[float]] = {COPYTO: [], **{way.name: [] for way in ways}}
    with contextlib.ExitStack() as stack:
        crowds = [stack.enter_context(crowd_of(way, item, readers)) for way in ways]
        for crowd in crowds:
            for _ in range(2 * SLOTS):  # Each reader has touched each slot then.
                crowd.seconds_of(item)
        for _ in range(rounds):
            began = time.perf_counter()
            for name, leaf in item.items():
                np.copyto(own[name], leaf)
            seconds[COPYTO].append(time.perf_counter() - began)
            for crowd in crowds:
                seconds[crowd.way.name].append(crowd.seconds_of(item))
        nbytes = sum(leaf.nbytes for leaf in item.values())
        for name, figures in seconds.items():
            for number, figure in enumerate(figures, 1):
                run.measurements.append(
                    Measurement(
                        measure, f"{len(item)} leaves, {nbytes} B", 1, readers, 0,
                        "from put to the last reader", name, number, 1, figure * 1e6,
                    )
                )  # fmt: skip
        copy = median(seconds[COPYTO])
        print(f"\n{measure}: {nbytes / 1e6:,.1f} MB in {len(item)} leaves to {readers} readers")
        print(f"  {COPYTO:36} {spread(seconds[COPYTO])}")
        for crowd in crowds:
            name, figures = crowd.way.name, seconds[crowd.way.name]
            print(
                f"  {name:36} {spread(figures)}  {median(figures) / copy:5.2f} x copyto, "
                f"{(median(figures) - copy) * 1e6:9,.0f} us beyond; "
                f"{crowd.way.nbytes() / 1e6:,.0f} MB"
                + (f"; {crowd.way.remark}" if crowd.way.remark else "")
            )
    return seconds


def measure_borrow(run: Record, nbytes: int, rounds: int) -> None:
    with TreeTopic({"x": np.zeros(nbytes, np.uint8)}, 2) as topic:
        topic.put({"x": np.ones(nbytes, np.uint8)})
        borrow, count = topic.borrow_latest, 10_000
        figures = []
        for number in range(1, rounds + 1):
            began = time.perf_counter()
            for _ in range(count):
                borrow().release()
            figures.append((time.perf_counter() - began) / count)
            run.measurements.append(
                Measurement(
                    "borrow", f"1 leaf, {nbytes} B", 1, 1, 0, "borrow_latest, release",
                    Topic.name, number, count, figures[-1] * 1e6,
                )
            )  # fmt: skip
    print(f"  borrow_latest and release of {nbytes:,} B: {median(figures) * 1e6:.2f} us")


def spread(seconds: list[float]) -> str:
    first, _, third = quantiles(seconds, n=4)
    return f"{median(seconds) * 1e3:9.3f} ms ({first * 1e3:.3f} to {third * 1e3:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="One item for all readers.")
    parser.add_argument("--quick", action="store_true", help="few rounds, and no record")
    quick = parser.parse_args().quick
    rounds = 3 if quick else 15
    machine = record.describe_machine()
    for key, value in machine.items():
        print(f"{key}: {value}")
    run = Record(record.unused_path(machine["date"], RECORDS), machine)
    ways = [way for way in WAYS if way is not Iceoryx2 or has_iceoryx2()]
    run.contenders = {way.name: Description("", way.method, "", way.remark) for way in ways}
    elements = WEIGHTS_NBYTES // WEIGHTS_LEAVES // 4
    rng = np.random.default_rng(0)
    weights = {
        f"layer {n}": rng.integers(0, 100, elements).astype(np.float32)
        for n in range(WEIGHTS_LEAVES)
    }
    measure(run, "weights", weights, READERS, ways, rounds)
    frame = {"frame": rng.integers(0, 255, FRAME, np.uint8)}
    measure(run, "frame", frame, WATCHERS, [Topic, BareFutex], rounds * 6)
    print("\nborrow")
    for nbytes in (64, 6_220_800, WEIGHTS_NBYTES):
        measure_borrow(run, nbytes, rounds)
    if not quick:
        record.write(run)
        print(f"record: {run.path}")


def has_iceoryx2() -> bool:
    try:
        import iceoryx2  # noqa: F401
    except ImportError:
        print("iceoryx2 is not there, and takes no part")
        return False
    return True


if __name__ == "__main__":
    main()

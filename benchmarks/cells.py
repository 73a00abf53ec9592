"""What is measured: items, and the cells of the tables and plots. Names and numbers, no NumPy.

K1. A cell is measured once, however many tables and plots show it.
K2. `reach` is the least that is promised. It is judged on the medians of one record.
"""

from __future__ import annotations

from dataclasses import dataclass

# What is measured of a queue.
STREAM = "put and get"  # Some processes put, some get, all at full speed.
ROUND_TRIP = "round trip"  # To another process and back, through two queues.
BATCHES = "batches"  # As a stream, taken as stacked batches.
BATCHES_BOTH_WAYS = "batches in and out"  # The same, put as ready batches.
AT_HAND = "batches at hand"  # The taking of a batch that is there already, in one process.
LOANS = "loans"  # Zero copy, in one process: one leaf is touched.
COPIES = "copies"  # Copies in and out beside numpy.copyto, in one process.
RUST = "rust"

# Quantities: what a figure is, in microseconds but for `CALLS`.
TIME = "an item"
CPU = "processor time of an item"  # Of all processes together.
CALLS = "system calls of an item"  # Of whoever is alone on its side.
P50, P99 = "p50", "p99"
RESERVE, BORROW = "reserve and commit", "borrow and release"
PUT, GET, GET_OUT, COPYTO = "put", "get", "get(out=)", "numpy.copyto"
GET_AND_STACK = "get and numpy.stack"
GET_BATCH, GET_BATCH_OUT, BORROW_BATCH = "get_batch", "get_batch(out=)", "borrow_batch"

MAXSIZE = 10  # Items, in every contender that can count items.
LOAN_SLOTS = 4  # Of the queues of the cells in one process, so that 100 MB fit.
BATCHES_IN_QUEUE = 4
LARGEST_NBYTES = 10**8


@dataclass(frozen=True)
class Item:
    """One leaf is a bare array; more are a dict of arrays of equal size."""

    name: str
    leaves: int
    nbytes: int


def _item(leaves: int, nbytes: int) -> Item:
    return Item(
        f"{leaves} {'leaf' if leaves == 1 else 'leaves'}, {size_text(nbytes)}", leaves, nbytes
    )


def size_text(nbytes: int) -> str:
    for unit, unit_nbytes in (("MB", 10**6), ("KB", 10**3)):
        if nbytes >= unit_nbytes:
            return f"{nbytes // unit_nbytes} {unit}"
    return f"{nbytes} B"


SMALL = _item(1, 64)
ATARI = Item("Atari transition, 28 KB", 4, 84 * 84 * 4)  # Its three other leaves are scalars.


@dataclass(frozen=True)
class Cell:
    """One place in the tables: something that is measured, of an item, by so many processes."""

    measure: str
    item: Item
    producers: int = 1
    consumers: int = 1
    batch: int = 0  # Items a batch, where it is about batches.
    rounds: int = 3
    seconds: float = 0.2  # Of one measurement, without its warm-up.
    extras: bool = False  # Whether those take part that are there for tables alone.
    slots: int = 0  # Of the queue, where it is not as everywhere else.
    counts_calls: bool = False  # System calls, instead of time.

    @property
    def key(self) -> tuple[str, str, int, int, int]:
        return self.measure, self.item.name, self.producers, self.consumers, self.batch

    @property
    def maxsize(self) -> int:
        return self.slots or BATCHES_IN_QUEUE * self.batch or MAXSIZE

    @property
    def name(self) -> str:
        parts = [f"{self.measure}: {self.item.name}"]
        if self.batch:
            parts.append(f"{self.batch} at a time")
        if (self.producers, self.consumers) != (1, 1):
            parts.append(crowd_text(self.producers, self.consumers))
        return ", ".join(parts)


def crowd_text(producers: int, consumers: int) -> str:
    return f"{producers} to {consumers}"


@dataclass(frozen=True)
class Row:
    """One of the six rows that are promised: an item, and how many times faster than whom."""

    label: str
    cell: Cell
    reach: dict[str, float]


BASELINE = "multiprocessing.Queue"
OURS = "treequeues"  # The contender that is judged: it promises the least.
CHECK = "the check alone"
VARIANTS = (
    OURS,
    "treequeues, out=",
    "treequeues, borrow_batch",
    "treequeues, put_batch and borrow_batch",
)


def _row_cell(item: Item) -> Cell:
    # The largest has a warm-up of seconds.
    rounds, seconds = (3, 1.0) if item.nbytes >= LARGEST_NBYTES else (5, 0.4)
    return Cell(STREAM, item, rounds=rounds, seconds=seconds, extras=True)


ROWS = [
    Row("1 leaf, 64 B", _row_cell(SMALL), {BASELINE: 60}),
    Row("4 leaves, 28 KB (Atari transition)", _row_cell(ATARI), {BASELINE: 15}),
    Row("10 leaves, 1 MB", _row_cell(_item(10, 10**6)), {BASELINE: 20, "dejaq": 1.3}),
    Row("100 leaves, 1 MB", _row_cell(_item(100, 10**6)), {BASELINE: 12, "dejaq": 4}),
    Row("10 leaves, 10 MB", _row_cell(_item(10, 10**7)), {BASELINE: 18, "dejaq": 1.2}),
    Row("10 leaves, 100 MB", _row_cell(_item(10, 10**8)), {BASELINE: 9, "dejaq": 1.2}),
]
LEAVES = (1, 10, 100)  # Of the curves of time against size.
SIZES = tuple(10**power for power in range(3, 9))
CROWD_SIZES = SIZES[:-1]  # 16 processes with 100 MB each would be about memory, not queues.
CURVES = [
    Cell(STREAM, _item(leaves, nbytes), rounds=2 if nbytes >= LARGEST_NBYTES else 3)
    for leaves in LEAVES
    for nbytes in SIZES
]
CROWDED_CURVE = [
    Cell(STREAM, _item(10, nbytes), producers=8, consumers=8) for nbytes in CROWD_SIZES
]
CROWDS = [
    Cell(STREAM, ATARI, producers, consumers, seconds=0.4)
    for producers, consumers in ((1, 1), (2, 2), (4, 4), (8, 8), (8, 1), (1, 8))
]
WIDTHS = [Cell(STREAM, _item(leaves, 10**6), extras=True) for leaves in (1, 10, 100, 1000)]
ROUND_TRIPS = [Cell(ROUND_TRIP, item, rounds=5) for item in (SMALL, ATARI)]
BATCH_SIZES = (8, 32, 128)
BATCH_CELLS = [Cell(BATCHES, ATARI, batch=batch, seconds=0.4, extras=True) for batch in BATCH_SIZES]
AT_HAND_CELLS = [Cell(AT_HAND, ATARI, batch=batch, rounds=5, seconds=0.4) for batch in BATCH_SIZES]
LOAN_CELLS = [Cell(LOANS, _item(1, nbytes), rounds=5, seconds=0.15) for nbytes in SIZES]
COPY_CELLS = [Cell(COPIES, _item(1, nbytes), rounds=5, seconds=0.3) for nbytes in SIZES]
# Figures of the crate, without Python: quantities, and who takes part.
UNCONTENDED = "one item in and out, nobody else there"
ONE_WAY = "one way, from process to process, both spinning"
RUST_CELL = Cell(RUST, SMALL)
RUST_CONTENDERS = (
    OURS,
    "crossbeam ArrayQueue",
    "crossbeam ArrayQueue, two threads of one process",
    "iceoryx2 publish-subscribe",
)
COPY_REACH_NBYTES = 10**6  # From this size on copies are promised to be near numpy.copyto.


def all_cells() -> list[Cell]:
    """Every cell once, in the order of the run; the first mention says how long it is measured."""
    groups = (
        [row.cell for row in ROWS],
        ROUND_TRIPS,
        CROWDS,
        BATCH_CELLS,
        AT_HAND_CELLS,
        LOAN_CELLS,
        COPY_CELLS,
        WIDTHS,
        CURVES,
        CROWDED_CURVE,
    )
    cells: dict[object, Cell] = {}
    for group in groups:
        for cell in group:
            cells.setdefault(cell.key, cell)
    return list(cells.values())

"""Workers in Python for the long fuzz: random calls, each with its receipt in shared memory.

This process is warm: it has imported everything, and forks a worker for each line that asks for
one. `src/nursery.rs` speaks to it, in lines of JSON; `src/log.rs` says what a receipt looks like.
"""

import ctypes
import json
import mmap
import os
import random
import signal
import struct
import sys
import time
import traceback
from queue import Empty, Full

import numpy as np

from treequeues import TreeQueue
from treequeues._pickling import rebuild

RECEIPTS = 8192
HEADER_WORDS = 512
RECEIPT_WORDS = 32
OUT_AT = (HEADER_WORDS + RECEIPTS * RECEIPT_WORDS) * 8
MAX_BATCH = 16
MAX_WAIT_S = 0.03

PUT, RESERVE, GET, BORROW = 1, 2, 3, 4
DONE, NOTHING = 1, 2
COMMIT, ABORT, RELEASE, GIVE_BACK = 1, 2, 3, 4

SPREAD = 0x9E3779B97F4A7C15
ALL_BITS = 2**64 - 1

_PR_SET_PDEATHSIG = 1
_PR_SET_TIMERSLACK = 29
_LIBC = ctypes.CDLL(None)

monotonic_ns = time.monotonic_ns


class Log:
    """The receipts of this process, and the memory that its gets fill."""

    def __init__(self, path, lengths):
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self._words = memoryview(self._memory).cast("Q")
        self._at = HEADER_WORDS - RECEIPT_WORDS
        self.left = RECEIPTS
        self.out = self._out_tree(lengths)

    def _out_tree(self, lengths):
        at = OUT_AT
        leaves = []
        for length, dtype in zip(lengths, (np.uint64, np.uint32, np.uint8), strict=True):
            count = MAX_BATCH * length
            array = np.frombuffer(self._memory, dtype, count, at).reshape(MAX_BATCH, length)
            leaves.append(array)
            at += -(-array.nbytes // 8) * 8
        return tree_of(leaves)

    def invoke(self, call, wanted=1, minimum=1, short=0, values=(), has_out=False):
        self._at += RECEIPT_WORDS
        self.left -= 1
        words, at = self._words, self._at
        for index, value in enumerate(values):
            words[at + 16 + index] = value
        words[at + 3] = len(values) << 8
        words[at + 1] = monotonic_ns()
        words[at] = call | wanted << 8 | short << 16 | has_out << 24 | minimum << 32

    def came_to_nothing(self):
        self._words[self._at + 3] = NOTHING
        self._words[self._at + 2] = monotonic_ns()
        self._words[0] += 1

    def put(self, count):
        self._words[self._at + 3] = DONE | count << 8
        self._words[self._at + 2] = monotonic_ns()
        self._words[0] += 1

    def reserved(self, count):
        self._words[self._at + 3] = DONE | count << 8
        self._words[self._at + 2] = monotonic_ns()

    def took(self, when, values, deliveries=()):
        words, at = self._words, self._at
        for index, value in enumerate(values):
            words[at + 16 + index] = value
        counts = bytes(min(count, 255) for count in deliveries).ljust(MAX_BATCH, b"\0")
        words[at + 8], words[at + 9] = struct.unpack("<QQ", counts)
        words[at + 3] = DONE | len(values) << 8
        words[at + 2] = when

    def got(self):
        self._words[0] += 1

    def invoke_end(self, end):
        self._words[self._at + 6] = end
        self._words[self._at + 4] = monotonic_ns()

    def ended(self):
        self._words[self._at + 5] = monotonic_ns()
        self._words[0] += 1

    def leave(self):
        self._words[1] = 1


def tree_of(leaves):
    words, halves, tail = leaves
    if halves.shape[-1] == 0:
        return {"words": words}
    return {"words": words, "nested": {"halves": halves, "bytes": tail}}


def leaves_of(tree):
    yield tree["words"]
    if "nested" in tree:
        yield tree["nested"]["halves"]
        yield tree["nested"]["bytes"]


def rows_of(tree, row):
    """One row of a stacked tree, or several."""
    leaves = {"words": tree["words"][row]}
    if "nested" in tree:
        leaves["nested"] = {key: leaf[row] for key, leaf in tree["nested"].items()}
    return leaves


def marks_of(value):
    spread = value * SPREAD & ALL_BITS
    return value, spread >> 32, spread >> 56


def fill(tree, value):
    for leaf, mark in zip(leaves_of(tree), marks_of(value), strict=False):
        leaf[...] = mark


def read(tree):
    """The value of an item, which must be one item, whole."""
    value = int(tree["words"].flat[0])
    for leaf, mark in zip(leaves_of(tree), marks_of(value), strict=False):
        if not (leaf == mark).all():
            raise AssertionError(f"a torn or mixed item: {leaf}, expected {mark}")
    return value


class Worker:
    """One life."""

    def __init__(self, queue, control, plan, life):
        self.queue = queue
        self.control = control
        self.plan = plan
        self.role = life["role"]
        self.number = life["number"]
        self.rng = random.Random(plan["seed"] ^ self.number)
        self.log = Log(life["log"], plan["lengths"])
        self.sequence = 0
        lengths = zip(plan["lengths"], (np.uint64, np.uint32, np.uint8), strict=True)
        self.stacked = tree_of([np.zeros((MAX_BATCH, length), dtype) for length, dtype in lengths])
        # Views that outlive their loans: their slots linger.
        self.kept = []

    def run(self):
        plan, rng = self.plan, self.rng
        is_producer = {"producer": True, "consumer": False, "both": None}[self.role]
        while not self.control[0] and self.log.left:
            puts = rng.random() < 0.5 if is_producer is None else is_producer
            (self.put if puts else self.take)()
            if self.percent(plan["pause"]):
                time.sleep(rng.random() * plan["pause_us"] * 1e-6)
        self.kept.clear()

    def percent(self, percent):
        return self.rng.random() * 100 < percent

    def stall(self):
        if self.percent(self.plan["stall"]):
            time.sleep(self.rng.random() * self.plan["stall_us"] * 1e-6)

    def wait(self):
        """Arguments that say how a call waits."""
        if self.rng.random() < 0.3:
            return {"block": False}
        return {"timeout": self.rng.random() * MAX_WAIT_S}

    def values(self, count):
        first = self.number << 32 | self.sequence + 1
        self.sequence += count
        return range(first, first + count)

    def put(self):
        largest = self.plan["put_batch"]
        if largest > 1 and self.percent(30):
            count = self.rng.randint(2, largest)
            choice = self.rng.randrange(3)
            (self.put_batch, self.put_many, self.reserve_batch)[choice](count)
        elif self.percent(50):
            self.put_one()
        else:
            self.reserve(1, self.queue.reserve)

    def put_one(self):
        values = self.values(1)
        tree = rows_of(self.stacked, 0)
        fill(tree, values[0])
        self._put(values, self.queue.put, tree)

    def put_batch(self, count):
        values = self.values(count)
        for row, value in enumerate(values):
            fill(rows_of(self.stacked, row), value)
        self._put(values, self.queue.put_batch, rows_of(self.stacked, slice(count)))

    def put_many(self, count):
        values = self.values(count)
        for row, value in enumerate(values):
            fill(rows_of(self.stacked, row), value)
        self._put(values, self.queue.put_many, [rows_of(self.stacked, row) for row in range(count)])

    def _put(self, values, how, what):
        wait = self.wait()
        self.log.invoke(PUT, len(values), len(values), 0, values)
        try:
            how(what, **wait)
        except Full:
            return self.log.came_to_nothing()
        self.log.put(len(values))

    def reserve_batch(self, count):
        minimum = self.rng.randint(1, count)
        self.reserve(count, lambda **wait: self.queue.reserve_batch(count, min=minimum, **wait))

    def reserve(self, count, how):
        values = self.values(count)
        wait = self.wait()
        self.log.invoke(RESERVE, count, 1, 0, values)
        try:
            loan = how(**wait)
        except Full:
            return self.log.came_to_nothing()
        self.log.reserved(len(loan))
        tree = loan.tree
        if count == 1:
            fill(tree, values[0])
        else:
            for row in range(len(loan)):
                fill(rows_of(tree, row), values[row])
        del tree
        self.stall()
        end = ABORT if self.percent(self.plan["abort"]) else COMMIT
        self.log.invoke_end(end)
        loan.commit() if end == COMMIT else loan.abort()
        self.log.ended()

    def take(self):
        if self.kept and self.percent(30):
            self.kept.clear()
        largest = self.plan["take_batch"]
        if largest > 1 and self.percent(30):
            count = self.rng.randint(2, largest)
            if self.percent(30):
                minimum = self.rng.randint(1, count)
                self.borrow(
                    lambda **wait: self.queue.borrow_batch(count, min=minimum, **wait),
                    count,
                    minimum,
                )
            elif self.plan["has_plain_gets"] and self.percent(30):
                self.get_many(count)
            else:
                self.get_batch(count)
        elif self.percent(50):
            self.get()
        else:
            self.borrow(self.queue.borrow, None, 1)

    def get(self):
        wait = self.wait()
        out = None
        if not (self.plan["has_plain_gets"] and self.percent(30)):
            out = rows_of(self.log.out, 0)
        self.log.invoke(GET, has_out=out is not None)
        try:
            tree, info = self.queue.get(out=out, info=True, **wait)
        except Empty:
            return self.log.came_to_nothing()
        when = monotonic_ns()
        self.log.took(when, [read(tree)], [info.delivery_count])
        self.log.got()

    def get_batch(self, count):
        wait = self.wait()
        minimum = count if self.percent(50) else self.rng.randint(1, count)
        out = rows_of(self.log.out, slice(count))
        self.log.invoke(GET, count, minimum, minimum - 1, has_out=True)
        try:
            tree = self.queue.get_batch(count, min=minimum, out=out, **wait)
        except Empty:
            return self.log.came_to_nothing()
        when = monotonic_ns()
        self.log.took(when, [read(rows_of(tree, row)) for row in range(len(tree["words"]))])
        self.log.got()

    def get_many(self, count):
        wait = self.wait()
        self.log.invoke(GET, count)
        try:
            trees = self.queue.get_many(count, **wait)
        except Empty:
            return self.log.came_to_nothing()
        when = monotonic_ns()
        self.log.took(when, [read(tree) for tree in trees])
        self.log.got()

    def borrow(self, how, count, minimum):
        wait = self.wait()
        self.log.invoke(BORROW, count or 1, minimum)
        try:
            loan = how(**wait)
        except Empty:
            return self.log.came_to_nothing()
        when = monotonic_ns()
        tree = loan.tree
        rows = [tree] if count is None else [rows_of(tree, row) for row in range(len(loan))]
        values = [read(row) for row in rows]
        self.log.took(when, values, [info.delivery_count for info in loan.infos])
        self.stall()
        end = GIVE_BACK if self.percent(self.plan["give_back"]) else RELEASE
        if end == RELEASE and self.percent(5):
            self.kept = [tree]
        del tree, rows
        self.log.invoke_end(end)
        loan.release() if end == RELEASE else loan.give_back()
        self.log.ended()


def attach(handle):
    """The queue behind what the Rust side says of it: its name, or where its descriptor is."""
    if handle["name"] is not None:
        return TreeQueue.attach(handle["name"])
    # What unpickling a queue does.
    where = handle["pid"], handle["fd"], bytes(handle["segment"])
    return rebuild(TreeQueue, *where, name=None, folder=None, passed=None)


class Epoch:
    """One queue: what its workers are forked with."""

    def __init__(self, plan):
        self.plan = plan
        self.queue = attach(plan["handle"]) if plan["python_inherits"] else None
        with open(plan["control"], "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self.control = memoryview(self._memory).cast("Q")

    def end(self):
        if self.queue is not None:
            self.queue.close()

    def work(self, life):
        queue = self.queue if self.queue is not None else attach(self.plan["handle"])
        worker = Worker(queue, self.control, self.plan, life)
        worker.run()
        # Half of them take leave of the queue, and half just end.
        if worker.rng.random() < 0.5:
            queue.close()
        worker.log.leave()


def fork(epoch, life):
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _LIBC.prctl(_PR_SET_TIMERSLACK, 1)
        os.nice(life["nice"])
        os.close(0)
        epoch.work(life)
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    epoch = None
    for line in sys.stdin:
        what, value = json.loads(line)
        answer = None
        if what == "epoch":
            epoch = Epoch(value)
        elif what == "fork":
            answer = fork(epoch, value)
        elif what == "reap":
            answer = os.waitstatus_to_exitcode(os.waitpid(value, 0)[1])
        elif what == "end":
            epoch.end()
            epoch = None
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

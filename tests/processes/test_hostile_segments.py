"""Hostile segments, from Python: whatever stands in a queue's memory, every call raises an error
that says what is corrupted and where, or does what it should. Nobody crashes, and nobody hangs.

Each attempt is a process of its own. The core's own tests go further (`src/tests/hostile`).
"""

import errno
import json
import os
import pickle
import queue as standard
import re
import struct
import subprocess
import sys
from random import Random

import numpy as np
import pytest
from helpers import WATCHDOG_S, open_descriptors

from treequeues import CorruptedError, SchemaError, ShutDown, TreeQueue

MAXSIZE = 4
SLOT_BYTES = 64
HOST_NAME_BYTES = 64
# Nobody writes this: the phase of its three lowest bits does not exist.
MEANINGLESS = 0x1FF

# A message that says where: a field of the header, the schema's bytes, a slot, a cursor, a flag.
WHERE = re.compile(
    r"the segment is corrupted: ("
    r"its header's \w+, at byte \d+, is .+, and not .+"
    r"|its schema, at bytes \d+ to \d+: .+"
    r"|the state word of slot \d+ (is 0x[0-9a-f]{16}, which has no meaning|changes without end.*)"
    r"|slot \d+, held here with state word .+, was taken away: now it has .+"
    r"|the cursor (head|tail) is at ticket \d+, which .+: slot \d+, to which that belongs, has .+"
    r"|the tree of returned items names slot \d+, and there are \d+"
    r"|slot \d+ has .+, and the tree of returned items does not say so"
    r"|slot \d+ has an item of ticket \d+, which belongs to another slot"
    r"|the entry of participant \d+ says that it publishes the batch .+, although it publishes none"
    r"|the cursor tail is at ticket \d+, more than \d+ slots past the cursor head, at \d+"
    r"|the shutdown flag is 0x[0-9a-f]{8}, which has no meaning)"
)


def tree(value):
    """An item of leaves whose bytes do not all mean something."""
    return {
        "frame": np.full((5, 3), value, np.uint8),
        "yes": np.array([True, False]),
        "text": np.array(["ab", "c"]),
        "when": np.array(["2020-01-01"], "datetime64[s]"),
        "name": np.str_("abc"),
        "flag": True,
        "number": value,
        "share": 0.5,
    }


def stacked(count):
    return {key: np.stack([np.asarray(value)] * count) for key, value in tree(1).items()}


class Segment:
    """The memory of a queue, opened a second time, to do damage to it."""

    def __init__(self, queue, path=None):
        if path is None:
            # One descriptor of the memory is as good as another.
            links = [f"/proc/self/fd/{number}" for number in open_descriptors()]
            path = next(link for link in links if os.readlink(link).startswith("/memfd:tree"))
        self.fd = os.open(path, os.O_RDWR)
        self.nbytes = os.fstat(self.fd).st_size
        # The slots lie before the schema, wherever that is in this version of the format. Between
        # them is the name of a host for each slot; few slots need no tree.
        self.schema = os.pread(self.fd, self.nbytes, 0).index(b'{"version"')
        self.end_of_slots = self.schema - HOST_NAME_BYTES * queue.maxsize
        self.slots = self.end_of_slots - SLOT_BYTES * queue.maxsize

    def write(self, place, data):
        os.pwrite(self.fd, data, place)

    def write_states(self, word):
        for slot in range(self.slots, self.end_of_slots, SLOT_BYTES):
            self.write(slot, struct.pack("<Q", word))


def reserve(queue):
    with queue.reserve(timeout=0.01) as loan:
        loan.write(tree(2))


def borrow(queue):
    with queue.borrow(timeout=0.01) as loan:
        assert loan.info.delivery_count >= 0
        return {key: np.array(value) for key, value in loan.tree.items()}


def reserve_batch(queue):
    with queue.reserve_batch(2, timeout=0.01) as loan:
        loan.write(stacked(len(loan)))


def borrow_batch(queue):
    with queue.borrow_batch(2, timeout=0.01) as loan:
        return len(loan.infos)


def keep_a_view(queue):
    with queue.borrow(timeout=0.01) as loan:
        return loan.tree["frame"]


CALLS = {
    "put": lambda queue: queue.put(tree(1), timeout=0.01),
    "put_nowait": lambda queue: queue.put_nowait(tree(1)),
    "get": lambda queue: queue.get(timeout=0.01),
    "get_info": lambda queue: queue.get(timeout=0.01, info=True),
    "get_nowait": lambda queue: queue.get_nowait(),
    "reserve": reserve,
    "borrow": borrow,
    "put_batch": lambda queue: queue.put_batch(stacked(3), timeout=0.01),
    "get_batch": lambda queue: queue.get_batch(3, min=1, timeout=0.01),
    "reserve_batch": reserve_batch,
    "borrow_batch": borrow_batch,
    "put_many": lambda queue: queue.put_many([tree(1), tree(2)], timeout=0.01),
    "get_many": lambda queue: queue.get_many(2, timeout=0.01),
    "keep_a_view": keep_a_view,
    "qsize": lambda queue: queue.qsize(),
    "empty": lambda queue: queue.empty(),
    "full": lambda queue: queue.full(),
    "stats": lambda queue: repr(queue.stats()),
    "pickle": lambda queue: pickle.loads(pickle.dumps(queue)).qsize(),
    "attach": lambda queue: queue.name and TreeQueue.attach(queue.name).qsize(),
}


def outcome(call, queue):
    """What came of a call: "fine", or the error's class and message."""
    try:
        call(queue)
    except (standard.Full, standard.Empty, ShutDown):
        return "fine"
    except Exception as error:
        return type(error).__name__, str(error)
    return "fine"


def assert_well_told(name, came):
    if came == "fine":
        return
    kind, message = came
    if kind == "CorruptedError":
        assert WHERE.search(message), f"{name} does not say where: {message}"
    else:
        # Text whose bytes are no characters; a file that is no queue any more.
        assert kind in ("ValueError", "UnicodeDecodeError", "OSError", "ConnectionError"), came


def call_all_on_meaningless_words():
    queue = TreeQueue(tree(0), MAXSIZE)
    queue.put(tree(1))
    segment = Segment(queue)
    segment.write_states(MEANINGLESS)
    return {name: outcome(call, queue) for name, call in CALLS.items()}


def test_every_call_names_the_slot_and_its_word(nursery):
    came = nursery.call("fork", call_all_on_meaningless_words)
    assert came.pop("attach") == "fine"  # It has no name.
    word = r"the state word of slot [0-3] is 0x00000000000001ff, which has no meaning"
    for name, told in came.items():
        assert told[0] == "CorruptedError", (name, told)
        assert re.search(f"corrupted: {word}$", told[1]), (name, told)


def end_loans_on_meaningless_words():
    queue = TreeQueue(tree(0), MAXSIZE)
    queue.put(tree(1))
    segment = Segment(queue)
    ends = {}
    for name, take in [("commit", queue.reserve), ("release", queue.borrow)]:
        loan = take()
        segment.write_states(MEANINGLESS)
        ends[name] = outcome(lambda _, loan=loan, name=name: getattr(loan, name)(), queue)
        segment.write_states(3)
    return ends


def test_the_end_of_a_loan_names_the_slot_that_was_taken_away(nursery):
    for name, told in nursery.call("fork", end_loans_on_meaningless_words).items():
        assert told[0] == "CorruptedError", (name, told)
        assert re.search(r"slot \d, held here .* taken away: now it has 0x0+1ff, which", told[1])


def play(seed, name):
    """Damage and calls in turn; what the calls said."""
    random = Random(seed)
    queue = TreeQueue(tree(0), MAXSIZE, name=name)
    segment = Segment(queue, name and f"{os.environ['TREEQUEUES_DIR']}/{name}")
    told, kept = [], []
    for _ in range(random.randrange(4)):
        queue.put(tree(3))
    for _ in range(4):
        place = random.choice(
            [
                random.randrange(segment.nbytes // 8) * 8,
                random.randrange(segment.schema // 8) * 8,
                random.randrange(segment.slots // 8) * 8,
                segment.slots + random.randrange(queue.maxsize) * SLOT_BYTES,
            ]
        )
        word = random.choice([random.randbytes(8), struct.pack("<Q", random.randrange(64))])
        segment.write(place, word)
        for name, call in random.sample(sorted(CALLS.items()), 3):
            told.append((name, outcome(lambda queue, call=call: kept.append(call(queue)), queue)))
    if random.random() < 0.5:
        queue.shutdown(immediate=random.random() < 0.5)
    told.append(("close", outcome(lambda queue: queue.close(), queue)))
    return told


@pytest.mark.parametrize("name", [None, "hostile"])
def test_calls_on_damaged_memory_say_where_or_work(nursery, queue_folder, rng, name):
    corrupted = 0
    for _ in range(25):
        for call, came in nursery.call("fork", play, rng.randrange(2**32), name):
            assert_well_told(call, came)
            corrupted += came[0] == "CorruptedError"
        if name:
            (queue_folder / name).unlink(missing_ok=True)
    assert corrupted, "the damage was never met"


def run(*args):
    command = [sys.executable, "-m", "treequeues", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=WATCHDOG_S, check=False)


LOOKS = [
    ("ls", "--json"),
    ("inspect", "bad"),
    ("inspect", "bad", "--json"),
    ("inspect", "--prometheus"),
    ("peek", "bad"),
    ("top", "--json", "--count", "1"),
    ("clean", "--dry-run"),
]


@pytest.mark.parametrize("state", ["live", "idle"])
@pytest.mark.parametrize("part", ["states", "cursors", "entries", "schema", "header"])
def test_the_command_survives_a_damaged_queue_and_shows_the_others(queue_folder, part, state):
    good = TreeQueue(tree(0), MAXSIZE, name="good")
    bad = TreeQueue(tree(0), MAXSIZE, name="bad", keep=True)
    bad.put(tree(1))
    segment = Segment(bad, queue_folder / "bad")
    # Found without knowing the format: the head, which is 1 after one put, in a cache line.
    head = os.pread(segment.fd, segment.slots, 0).index(struct.pack("<Q", 1) + bytes(56))
    if state == "idle":
        bad.close()
    match part:
        case "states":
            segment.write_states(MEANINGLESS)
        case "cursors":
            segment.write(head, b"\xfe" * 8)
            segment.write(head + 64, b"\xfe" * 8)
        case "entries":
            segment.write(segment.slots - 1024, b"\xfe" * 1024)
        case "schema":
            segment.write(segment.schema, b"\xff")
        case "header":
            segment.write(40, b"\xfe" * 8)
    for look in LOOKS:
        done = run(*look)
        assert done.returncode in (0, 1), (look, done)
        assert "panicked" not in done.stderr, (look, done)
        if part in ("schema", "header") and look[0] in ("inspect", "peek") and "bad" in look:
            assert done.returncode == 1 or "corrupted" in done.stdout, (look, done)
    listed = {queue["name"]: queue for queue in json.loads(run("ls", "--json").stdout)}
    assert listed["good"]["state"] == "live"
    where = {
        "states": "the state word of slot 0 is 0x00000000000001ff",
        "schema": f"its schema, at bytes {segment.schema} to ",
        "header": "its header's checksum, at byte ",
    }.get(part)
    if where:
        assert where in run("inspect", "bad", "--json").stdout + run("inspect", "bad").stderr
    good.close()


def test_a_damaged_queue_that_nobody_uses_is_cleaned_away(queue_folder):
    with TreeQueue(0.0, 2, name="bad", keep=True) as queue:
        segment = Segment(queue, queue_folder / "bad")
    segment.write(segment.schema, b"\xff")
    with pytest.raises(CorruptedError, match=r"its schema, at bytes \d+ to \d+: "):
        TreeQueue.attach("bad")
    assert "removed bad" in run("clean").stdout
    assert not (queue_folder / "bad").exists()


def test_another_process_that_attaches_is_told_where(nursery, queue_folder):
    queue = TreeQueue(tree(0), MAXSIZE, name="bad")
    queue.put(tree(1))
    Segment(queue, queue_folder / "bad").write_states(MEANINGLESS)
    came = nursery.call("spawn", attach_and_tell)
    assert came == (
        "CorruptedError",
        f"[Errno {errno.EUCLEAN}] the segment is corrupted: "
        "the state word of slot 0 is 0x00000000000001ff, which has no meaning",
    )


def attach_and_tell():
    return outcome(lambda _: TreeQueue.attach("bad").get(timeout=0.01), None)


def test_schema_errors_are_not_taken_for_damage():
    with TreeQueue(tree(0), 2) as queue, pytest.raises(SchemaError):
        queue.put({"frame": 1})

"""Python and Rust as participants of one queue: each makes it, fills it, reads it and dies in it.

The Rust side is the program `peer` of the crate in examples/simulator, which `make test-python`
builds. It does what it is told, a line an order, and has a type of its own for the items:

    struct Arm { joints: [f64; 3], gripped: bool }
    struct Item {
        frame: [[u8; 4]; 2], arm: Arm, legal: [bool; 3],
        done: bool, reward: f64, count: i64, level: u16, speed: f32,
    }
"""

import os
import queue as standard
import select
import signal
import subprocess
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from helpers import WATCHDOG_S, die_with_parent, rust_program, wait_until

from treequeues import SchemaError, TreeQueue

CAPACITY = 4  # The peer's.


class Peer:
    """A process in Rust that takes orders, under the watchdog."""

    def __init__(self, role: str, name: str) -> None:
        self.process = subprocess.Popen(
            [rust_program("peer"), role, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,
        )

    def __enter__(self) -> "Peer":
        assert self.answer() == "ready"
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=WATCHDOG_S)

    def ask(self, order: str) -> str:
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> str:
        readable, _, _ = select.select([self.process.stdout], [], [], WATCHDOG_S)
        if not readable:
            pytest.fail(f"no answer from the peer after {WATCHDOG_S} s: it hangs")
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return line.removesuffix("\n")

    def leave(self) -> None:
        """Let it end by itself, and well."""
        _, complaints = self.process.communicate(timeout=WATCHDOG_S)
        assert (self.process.returncode, complaints) == (0, "")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait(WATCHDOG_S) == -signal.SIGKILL


def make_tree(number: int) -> dict[str, Any]:
    """What the peer's item of this number is here."""
    return {
        "frame": np.array([[number, 1, 2, 3], [4, 5, 6, 255]], np.uint8),
        "arm": {"joints": np.array([number, number + 0.5, -1.0]), "gripped": number % 2 == 0},
        "legal": np.array([True, False, number > 1]),
        "done": number == 1,
        "reward": number / 4,
        "count": -number,
        "level": np.uint16(40_000 + number),
        "speed": np.float32(0.5),
    }


def printed(number: int) -> str:
    """The same, as Rust prints it."""
    true = {True: "true", False: "false"}
    return (
        f"Item {{ frame: [[{number}, 1, 2, 3], [4, 5, 6, 255]], "
        f"arm: Arm {{ joints: [{number}.0, {number}.5, -1.0], gripped: {true[number % 2 == 0]} }}, "
        f"legal: [true, false, {true[number > 1]}], done: {true[number == 1]}, "
        f"reward: {number / 4}, count: {-number}, level: {40_000 + number}, speed: 0.5 }}"
    )


@dataclass
class Arm:
    joints: Any
    gripped: Any


class Item(NamedTuple):
    frame: Any
    arm: Arm
    legal: Any
    done: Any
    reward: Any
    count: Any
    level: Any
    speed: Any


def make_item(number: int) -> Item:
    tree = make_tree(number)
    return Item(**{**tree, "arm": Arm(**tree["arm"])})


def assert_same(got: Any, expected: Any) -> None:
    """Equal, and of the same types and dtypes all the way down."""
    assert type(got) is type(expected)
    match expected:
        case dict():
            assert list(got) == list(expected)
            for key in expected:
                assert_same(got[key], expected[key])
        case Arm():
            assert_same(vars(got), vars(expected))
        case tuple():
            for one, other in zip(got, expected, strict=True):
                assert_same(one, other)
        case _:
            assert np.asarray(got).dtype == np.asarray(expected).dtype
            assert np.array_equal(got, expected)


def names(folder: os.PathLike[str]) -> list[str]:
    return os.listdir(folder)


def test_python_gets_what_rust_put_into_a_queue_of_its_type(queue_folder):
    with Peer("create", "items") as peer, TreeQueue.attach("items") as queue:
        assert queue.maxsize == CAPACITY
        for number in range(3):
            assert peer.ask(f"push {number}") == "pushed"
            tree, info = queue.get(timeout=WATCHDOG_S, info=True)
            assert_same(tree, make_tree(number))
            assert info.producer_pid == peer.process.pid
        peer.leave()
    assert names(queue_folder) == []


def test_rust_gets_what_python_put_into_a_queue_of_its_type(queue_folder):
    with Peer("create", "items") as peer, TreeQueue.attach("items") as queue:
        for number in range(3):
            queue.put(make_tree(number))
            assert peer.ask("pop") == printed(number)
        queue.close()
        peer.leave()
    assert names(queue_folder) == []


def test_what_rust_put_one_by_one_comes_stacked(queue_folder):
    with Peer("create", "items") as peer, TreeQueue.attach("items") as queue:
        for number in range(CAPACITY):
            peer.ask(f"push {number}")
        with queue.borrow_batch(CAPACITY, timeout=WATCHDOG_S) as loan:
            assert len(loan) == CAPACITY
            assert loan.tree["arm"]["joints"][:, 0].tolist() == [0, 1, 2, 3]
            assert loan.tree["level"].tolist() == [40_000, 40_001, 40_002, 40_003]
            assert loan.tree["legal"].sum(axis=0).tolist() == [4, 0, 2]


def test_a_queue_of_classes_that_rust_does_not_know_is_used_by_type(queue_folder):
    with TreeQueue(make_item(0), CAPACITY, name="items") as queue, Peer("attach", "items") as peer:
        for number in range(3):
            queue.put(make_item(number))
            assert peer.ask("pop") == printed(number)
            assert peer.ask(f"push {number}") == "pushed"
            assert_same(queue.get(timeout=WATCHDOG_S), make_item(number))


def test_a_queue_of_classes_that_rust_does_not_know_is_used_by_path(queue_folder):
    with TreeQueue(make_item(0), CAPACITY, name="items") as queue, Peer("untyped", "items") as peer:
        queue.put(make_item(7))
        assert peer.ask("borrow") == "borrowed"
        assert peer.ask("read arm.joints") == "[7.0, 7.5, -1.0]"
        assert peer.ask("read reward") == "[1.75]"
        assert peer.ask("release") == "released"
        assert peer.ask("reserve") == "reserved"
        assert peer.ask("write arm.joints 1 2.5 -3") == "written"
        assert peer.ask("write reward 0.125") == "written"
        assert queue.empty()
        assert peer.ask("commit") == "committed"
        item = queue.get(timeout=WATCHDOG_S)
        assert type(item) is Item and type(item.arm) is Arm
        assert item.arm.joints.tolist() == [1.0, 2.5, -3.0]
        assert item.reward == 0.125


def test_a_path_that_is_not_there_is_an_error_of_the_peers(queue_folder):
    with TreeQueue(make_item(0), CAPACITY, name="items") as queue, Peer("untyped", "items") as peer:
        queue.put(make_item(7))
        peer.ask("borrow")
        peer.process.stdin.write("read arm.elbows\n")
        _, complaints = peer.process.communicate(timeout=WATCHDOG_S)
        assert peer.process.returncode == 1
        assert 'no leaf "arm.elbows"' in complaints
        assert "panicked" not in complaints


def test_keys_may_come_in_another_order_than_the_fields(queue_folder):
    def backwards(tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        return {key: backwards(tree[key]) for key in reversed(tree)}

    with (
        TreeQueue(backwards(make_tree(0)), CAPACITY, name="items") as queue,
        Peer("attach", "items") as peer,
    ):
        queue.put(make_tree(3))  # In the fields' order: keys are what counts.
        assert peer.ask("pop") == printed(3)
        peer.ask("push 5")
        assert_same(queue.get(timeout=WATCHDOG_S), backwards(make_tree(5)))


def test_a_misfit_is_refused_by_rust_with_both_sides(queue_folder):
    other = make_tree(0)
    other["arm"]["joints"] = np.zeros(3, np.float32)
    other["legal"] = np.zeros(4, np.bool_)
    other["terminal"] = other.pop("done")
    with TreeQueue(other, CAPACITY, name="items") as queue:
        refused = subprocess.run(
            [rust_program("peer"), "attach", "items"],
            capture_output=True,
            text=True,
            timeout=WATCHDOG_S,
            preexec_fn=die_with_parent,
        )
        assert (refused.returncode, refused.stdout) == (1, "")
        first, *lines = refused.stderr.splitlines()
        assert first == 'peer: "items" is there, but it is another one:'
        rows = [line.split() for line in lines]
        for row in (
            "arm.joints float64 (3,) float32 (3,)",
            "legal bool (3,) bool (4,)",
            "done a bool -",
            "terminal - a bool",
        ):
            assert row.split() in rows, refused.stderr
        # It has left, and took nothing along.
        wait_until(lambda: queue.stats().participants == 1, "the peer is gone")
        queue.put(other)
        assert queue.qsize() == 1


def test_a_misfit_is_refused_by_python_with_both_sides(queue_folder):
    other = make_tree(0)
    other["arm"]["joints"] = np.zeros(3, np.float32)
    with Peer("create", "items") as peer:
        with pytest.raises(SchemaError, match=r"arm\.joints +float32 \(3,\) +float64 \(3,\)"):
            TreeQueue.open("items", other, CAPACITY)
        with pytest.raises(SchemaError, match=rf"maxsize +5 +{CAPACITY}"):
            TreeQueue.open("items", make_tree(0), 5)
        with TreeQueue.open("items", make_tree(0), CAPACITY) as queue:
            peer.ask("push 1")
            assert_same(queue.get(timeout=WATCHDOG_S), make_tree(1))


def test_a_queue_that_is_not_there_is_an_error_of_the_peers(queue_folder):
    refused = subprocess.run(
        [rust_program("peer"), "attach", "items"],
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
    )
    said = f'peer: nothing is named "items" in {queue_folder}\n'
    assert (refused.returncode, refused.stderr) == (1, said)


def test_a_killed_producer_in_rust_gives_its_slot_back_unseen(queue_folder):
    with Peer("create", "items") as peer, TreeQueue.attach("items") as queue:
        peer.ask("push 1")
        assert peer.ask("reserve") == "reserved"
        peer.ask("write arm.joints 7 7 7")
        for number in (2, 3):
            queue.put(make_tree(number), timeout=WATCHDOG_S)
        with pytest.raises(standard.Full):
            queue.put(make_tree(4), block=False)
        peer.kill()
        queue.put(make_tree(4), timeout=WATCHDOG_S)
        for number in (1, 2, 3, 4):
            assert_same(queue.get(timeout=WATCHDOG_S), make_tree(number))
        assert queue.empty()
        assert queue.stats().counters.deaths == 1
    assert names(queue_folder) == []


def test_what_a_killed_consumer_in_rust_had_borrowed_comes_again(queue_folder):
    with TreeQueue(make_tree(0), CAPACITY, name="items") as queue:
        with Peer("attach", "items") as peer:
            for number in (1, 2):
                queue.put(make_tree(number))
            assert peer.ask("borrow") == "borrowed"
            assert queue.qsize() == 1
            peer.kill()
        # The first again, at its own place.
        wait_until(lambda: queue.qsize() == 2 or sweep(queue), "the item is back")
        for number, deliveries in ((1, 2), (2, 1)):
            tree, info = queue.get(timeout=WATCHDOG_S, info=True)
            assert_same(tree, make_tree(number))
            assert info.delivery_count == deliveries
        for number in range(CAPACITY):
            queue.put(make_tree(number), block=False)
        assert queue.full()
    assert names(queue_folder) == []


def sweep(queue: TreeQueue[Any]) -> bool:
    """Look for the dead: a batch that cannot be had does."""
    with pytest.raises(standard.Empty):
        queue.get_batch(CAPACITY, block=False)
    return False


@pytest.mark.parametrize(
    ("path", "element", "byte"), [("legal", 1, 2), ("legal", 2, 255), ("done", 0, 7)]
)
def test_a_byte_that_is_no_bool_is_refused_by_rust_and_comes_again(
    queue_folder, path, element, byte
):
    def spoil(tree: Any) -> None:
        tree[path].reshape(-1).view(np.uint8)[element] = byte

    with Peer("create", "items") as peer, TreeQueue.attach("items") as queue:
        with queue.reserve(timeout=WATCHDOG_S) as loan:
            loan.write(make_tree(1))
            spoil(loan.tree)
        queue.put(make_tree(2))
        for _ in range(3):
            assert peer.ask("pop") == (
                f"refused: {path}: element {element} is the byte {byte}, which is no bool"
            )
        # Python can still have it, and bools that it writes itself are Rust's too.
        with queue.borrow(timeout=WATCHDOG_S) as loan:
            assert loan.info.delivery_count == 4
            assert loan.tree[path].reshape(-1).view(np.uint8)[element] == byte
        assert peer.ask("pop") == printed(2)

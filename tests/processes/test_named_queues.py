"""Named queues between processes that know nothing of each other, their deaths, and races."""

import json
import multiprocessing
import os
import queue as standard
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import WATCHDOG_S, die_with_parent, in_forked_child, reap, wait_until

from treequeues import TreeQueue

ROUNDS_OF_KILLS = 1000
FORKS = 100

SHAPES = """
import dataclasses, typing
import numpy as np

@dataclasses.dataclass
class Pose:
    position: np.ndarray
    heading: float

class Step(typing.NamedTuple):
    pose: Pose
    reward: float
"""

CREATOR = """
import sys
import numpy as np
from shapes import Pose, Step
from treequeues import TreeQueue

queue = TreeQueue(Step(Pose(np.zeros(3), 0.0), 0.0), maxsize=4, name="steps")
for number in range(3):
    queue.put(Step(Pose(np.full(3, float(number)), number / 2), float(number)))
print("put", flush=True)
sys.stdin.read()
"""

TAKER = """
from treequeues import TreeQueue

queue = TreeQueue.attach("steps")
step = queue.get()
print(type(step).__name__, step)
queue.close()
"""


def names(folder):
    return sorted(os.listdir(folder))


def run(script, cwd):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def creator(queue_folder, tmp_path):
    """A process that has put three items, from a folder that has the classes of their trees."""
    with_classes = tmp_path / "with_classes"
    with_classes.mkdir()
    (with_classes / "shapes.py").write_text(SHAPES)
    process = subprocess.Popen(
        [sys.executable, "-c", CREATOR],
        cwd=with_classes,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "put\n"
        yield process
    finally:
        process.kill()
        process.wait(WATCHDOG_S)
        process.stdin.close()
        process.stdout.close()


def test_a_stranger_gets_the_classes_where_they_can_be_imported(creator, tmp_path):
    assert run(TAKER, tmp_path / "with_classes").startswith(
        "Step Step(pose=Pose(position=array([0."
    )


def test_a_stranger_gets_dicts_and_tuples_where_the_classes_are_unknown(creator, tmp_path):
    assert run(TAKER, "/").startswith(
        "tuple ({'position': array([0., 0., 0.]), 'heading': 0.0}, 0.0)"
    )


def test_a_stranger_that_cannot_import_the_classes_puts_what_the_creator_gets_whole(queue_folder):
    with TreeQueue({"x": np.zeros(2), "n": 0}, 4, name="back") as queue:
        run(
            "from treequeues import TreeQueue\n"
            "with TreeQueue.attach('back') as queue:\n"
            "    with queue.reserve() as loan:\n"
            "        loan.tree['x'][...] = 1\n"
            "        loan.tree['n'][...] = 2\n",
            "/",
        )
        tree = queue.get()
        assert tree["n"] == 2 and tree["x"].tolist() == [1.0, 1.0]


def test_a_queue_survives_the_kill_of_its_creator_while_somebody_is_attached(creator, queue_folder):
    with TreeQueue.attach("steps") as queue:
        creator.kill()
        creator.wait(WATCHDOG_S)
        rewards = [queue.get(timeout=WATCHDOG_S)[1] for _ in range(3)]
        assert rewards == [0.0, 1.0, 2.0]
        assert names(queue_folder) == ["steps"]
    assert names(queue_folder) == []


def test_what_everybody_died_on_is_stale_and_replaced(creator, queue_folder):
    creator.kill()
    creator.wait(WATCHDOG_S)
    assert names(queue_folder) == ["steps"]
    with pytest.raises(OSError, match=r"stale.*treequeues clean"):
        TreeQueue.attach("steps")
    # Of another schema, too: nothing of the old one is left.
    with TreeQueue.open("steps", np.zeros(3), 2) as queue:
        assert queue.empty()
        assert names(queue_folder) == ["steps"]
    assert names(queue_folder) == []


def test_a_process_that_ends_leaves_no_name_behind(queue_folder):
    """However it ends by itself: also with the queue in a global, a cycle, or a frame."""
    run(
        "from treequeues import TreeQueue\n"
        "queue = TreeQueue(0.0, 2, name='global')\n"
        "class Owner: pass\n"
        "owner = Owner(); owner.owner = owner; owner.queue = TreeQueue(0.0, 2, name='cycle')\n"
        "import builtins; builtins.kept = TreeQueue(0.0, 2, name='builtin')\n",
        "/",
    )
    assert names(queue_folder) == []
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from treequeues import TreeQueue\nqueue = TreeQueue(0.0, 2, name='raised')\n1 / 0",
        ],
        capture_output=True,
        timeout=WATCHDOG_S,
    )
    assert done.returncode == 1
    assert names(queue_folder) == []


def test_exit_handlers_of_the_program_may_still_use_the_queue(queue_folder):
    told = run(
        "import atexit\n"
        "from treequeues import TreeQueue\n"
        "queue = TreeQueue(0.0, 2, name='a')\n"
        "queue.put(1.0)\n"
        "atexit.register(lambda: print(queue.get()))\n",
        "/",
    )
    assert told == "1.0\n"
    assert names(queue_folder) == []


def use_and_end(name):
    queue = TreeQueue.open(name, 0.0, 2)
    queue.put(1.0)
    globals()["kept"] = queue


def test_a_process_of_multiprocessing_leaves_too(queue_folder, nursery, start_method):
    process = nursery.start(start_method, use_and_end, "a")
    nursery.finish(process)
    assert names(queue_folder) == []


def use_the_inherited_and_end(queue):
    queue.put(1.0)


def test_children_and_parents_leave_in_any_order(queue_folder, nursery, start_method):
    queue = TreeQueue(0.0, 2, name="a")
    process = nursery.start(start_method, use_the_inherited_and_end, queue)
    wait_until(lambda: queue.qsize() == 1, "the child has put")
    queue.close()
    nursery.finish(process)
    assert names(queue_folder) == []


def test_1000_kills_while_creating_leave_at_most_the_named_files(queue_folder, rng):
    """Somebody creates, opens, attaches, keeps and unlinks; at some moment it is killed."""
    known = {f"q{number}" for number in range(4)}

    def live(seed):
        die_with_parent()
        draw = np.random.default_rng(seed)
        held = []
        while True:
            name = f"q{draw.integers(4)}"
            try:
                match draw.integers(4):
                    case 0:
                        held.append(TreeQueue(0.0, 2, name=name))
                    case 1:
                        held.append(TreeQueue.open(name, 0.0, 2))
                    case 2:
                        held.append(TreeQueue.attach(name))
                    case 3 if held:
                        queue = held.pop()
                        if draw.integers(2):
                            queue.unlink()
                        queue.close()
            except (FileExistsError, FileNotFoundError):
                pass
            except OSError as error:
                assert "stale" in str(error), error

    for _ in range(ROUNDS_OF_KILLS):
        seed = rng.randrange(2**32)
        pid = in_forked_child(lambda seed=seed: live(seed))
        time.sleep(rng.random() * 0.006)
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        assert set(names(queue_folder)) <= known
    # What is left is removed by the next that opens it, or by the command.
    for name in ["q0", "q1"]:
        with TreeQueue.open(name, 0.0, 2) as queue:
            queue.put(1.0)
            assert queue.get() == 1.0
    assert set(names(queue_folder)) <= {"q2", "q3"}
    command("clean")
    assert names(queue_folder) == []


def open_again_and_again(barrier, results, rounds, seed):
    """Leave the queue of the last round, open that of this one, and say which segment it is: all at
    once, so that some leave while others come."""
    draw = np.random.default_rng(seed)
    told, queue = [], None
    for _ in range(rounds):
        barrier.wait(WATCHDOG_S)
        if queue is not None:
            for _ in range(draw.integers(200)):
                pass  # Microseconds, in which the others do something else each time.
            queue.close()
        try:
            queue = TreeQueue.open("raced", {"x": np.zeros(4), "n": 0}, 4)
            told.append(queue._handle()[2])
        except Exception as error:
            told.append(f"{type(error).__name__}: {error}")
            queue = None
        # Now all have it open, so it must be the same one.
        barrier.wait(WATCHDOG_S)
    if queue is not None:
        queue.close()
    results.put(told)


def command(*args):
    done = subprocess.run(
        [sys.executable, "-m", "treequeues", *args, "--json"],
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def told_by_ls():
    """State, items, and living participants, by name."""
    return {
        queue["name"]: (
            queue["state"],
            queue.get("items"),
            sum(participant["alive"] for participant in queue.get("participants") or ()),
        )
        for queue in command("ls")
    }


def test_the_command_tells_who_is_dead_and_removes_exactly_that(queue_folder):
    """Of the first queue its creator is killed, of the second all, of the third half."""
    (end, release), (ready, attached) = os.pipe(), os.pipe()

    def hold(*queues):
        os.close(release)
        held = [TreeQueue.open(name, 0.0, 8) for name in queues]
        for queue in held:
            queue.put(1.0)
        os.write(attached, b".")
        os.read(end, 1)
        for queue in held:
            queue.close()

    def started(*queues):
        pid = in_forked_child(lambda: hold(*queues))
        os.read(ready, 1)
        return pid

    creator = started("creator")
    all_of_them = [started("all"), started("all")]
    half = [started("creator", "half"), started("half"), started("half"), started("half")]
    stranger = queue_folder / "notes.txt"
    stranger.write_text("none of ours")
    with TreeQueue(0.0, 4, name="kept", keep=True) as kept:
        kept.put(1.0)
    for pid in [creator, *all_of_them, *half[:2]]:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    # Of "creator", the other one was among the half.
    last = started("creator2", "half")
    told = told_by_ls()
    assert told["all"][0] == "stale"
    assert told["creator"][0] == "stale"
    assert told["half"] == ("live", 5, 3)
    assert told["kept"][:2] == ("idle", 1)
    assert told["notes.txt"][0] == "foreign"
    command("clean", "--dry-run")
    everything = ["all", "creator", "creator2", "half", "kept", "notes.txt"]
    assert names(queue_folder) == everything
    command("clean")
    assert names(queue_folder) == ["creator2", "half", "kept", "notes.txt"]
    with TreeQueue.attach("half") as queue:
        assert [queue.get(timeout=WATCHDOG_S) for _ in range(5)] == 5 * [1.0]
    os.close(release)
    for pid in [*half[2:], last]:
        reap(pid)
    for descriptor in (end, ready, attached):
        os.close(descriptor)
    assert names(queue_folder) == ["kept", "notes.txt"]
    assert stranger.read_text() == "none of ours"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("openers, rounds", [(20, 200), (2, 2000)])
def test_processes_open_one_name_at_once_over_and_over(queue_folder, nursery, openers, rounds):
    """Of many there is nearly always one that has not left; of two, the last often leaves as the
    other comes."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(openers), context.Queue()
    processes = [
        nursery.start("fork", open_again_and_again, barrier, results, rounds, seed)
        for seed in range(openers)
    ]
    told = [results.get(timeout=300) for _ in processes]
    for process in processes:
        nursery.finish(process)
    for number, segments in enumerate(zip(*told, strict=True)):
        assert len(set(segments)) == 1, (number, set(segments))
        assert isinstance(segments[0], bytes), segments[0]
    assert names(queue_folder) == []


def create_once(barrier, results):
    barrier.wait(WATCHDOG_S)
    try:
        queue = TreeQueue(0.0, 2, name="raced")
        results.put("created")
    except FileExistsError:
        queue = None
        results.put("exists")
    barrier.wait(WATCHDOG_S)
    if queue is not None:
        queue.close()


def test_of_creators_at_once_one_wins(queue_folder, nursery):
    context = multiprocessing.get_context("fork")
    for _ in range(20):
        barrier, results = context.Barrier(8), context.SimpleQueue()
        processes = [nursery.start("fork", create_once, barrier, results) for _ in range(8)]
        for process in processes:
            nursery.finish(process)
        told = sorted(results.get() for _ in processes)
        assert told == ["created"] + 7 * ["exists"]
        assert names(queue_folder) == []


def test_a_stopped_participant_keeps_the_queue_and_stops_nobody(queue_folder):
    (ready, attached) = os.pipe()

    def hold():
        queue = TreeQueue(0.0, 2, name="a")
        loan = queue.reserve()
        os.write(attached, b".")
        signal.pause()
        loan.abort()

    pid = in_forked_child(hold)
    os.read(ready, 1)
    os.kill(pid, signal.SIGSTOP)
    try:
        with TreeQueue.attach("a") as queue:
            queue.put(1.0, timeout=WATCHDOG_S)
            assert queue.get(timeout=WATCHDOG_S) == 1.0
            with pytest.raises(FileExistsError):
                TreeQueue(0.0, 2, name="a")
            with pytest.raises(standard.Full):
                queue.put_many([1.0, 2.0], block=False)
        assert names(queue_folder) == ["a"]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    TreeQueue.open("a", 0.0, 2).close()
    assert names(queue_folder) == []


def test_a_fork_while_names_change_hands_keeps_no_lock(queue_folder):
    """A child that inherited a lock would keep a name for as long as it lives."""
    import threading

    stop = threading.Event()

    def open_and_leave():
        while not stop.is_set():
            TreeQueue.open("a", 0.0, 2).close()

    threads = [threading.Thread(target=open_and_leave) for _ in range(2)]
    for thread in threads:
        thread.start()
    children = []
    try:
        (end, release) = os.pipe()

        def live_on():
            os.close(release)
            os.read(end, 1)

        for _ in range(FORKS):
            children.append(in_forked_child(live_on))
        stop.set()
        for thread in threads:
            thread.join(WATCHDOG_S)
            assert not thread.is_alive()
        assert names(queue_folder) == []
        TreeQueue(0.0, 2, name="a").close()
        assert names(queue_folder) == []
    finally:
        stop.set()
        os.close(release)
        for child in children:
            reap(child)
        os.close(end)

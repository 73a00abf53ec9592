"""Queues with names: what a name is, who gets it, and when it goes."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from helpers import WATCHDOG_S, in_forked_child, reap

from treequeues import ArrayQueue, SchemaError, TreeQueue

EXAMPLE = {"obs": np.zeros((4, 3), np.uint8), "reward": 0.0}

pytestmark = pytest.mark.usefixtures("queue_folder")


def names(folder):
    return sorted(os.listdir(folder))


def item(value):
    return {"obs": np.full((4, 3), value, np.uint8), "reward": float(value)}


def python(code):
    """What another interpreter, in another folder, prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["a", "actors-0.v2_x", "0", "-", "n" * 100])
def test_a_name_is_letters_digits_and_three_signs(queue_folder, name):
    with TreeQueue(EXAMPLE, 2, name=name) as queue:
        assert queue.name == name
        assert names(queue_folder) == [name]
    assert names(queue_folder) == []


@pytest.mark.parametrize("name", ["", ".", "..", ".a", "a/b", "/a", "a b", "ä", "a\n", "n" * 101])
@pytest.mark.parametrize(
    "call",
    [
        lambda name: TreeQueue(EXAMPLE, 2, name=name),
        lambda name: TreeQueue.open(name, EXAMPLE, 2),
        TreeQueue.attach,
    ],
    ids=["create", "open", "attach"],
)
def test_what_can_be_no_name_is_refused(queue_folder, call, name):
    with pytest.raises(ValueError, match="letters, digits"):
        call(name)
    assert names(queue_folder) == []


def test_a_process_that_was_told_the_name_alone_puts_and_gets(queue_folder):
    with TreeQueue(EXAMPLE, 2, name="actors") as queue:
        queue.put(item(3))
        told = python(
            "from treequeues import TreeQueue\n"
            "with TreeQueue.attach('actors') as queue:\n"
            "    tree = queue.get()\n"
            "    tree['obs'] += 1\n"
            "    queue.put(tree)\n"
            "    print(queue.name, queue.maxsize, tree['reward'])\n"
        )
        assert told == "actors 2 3.0"
        assert (queue.get()["obs"] == 4).all()
        assert names(queue_folder) == ["actors"]


def test_attaching_in_the_same_process_is_the_same_participant():
    with TreeQueue(EXAMPLE, 2, name="a") as queue, TreeQueue.attach("a") as other:
        queue.put(item(1))
        assert other.get()["reward"] == 1.0
        assert queue.stats().participants == 1


def test_the_name_goes_with_the_last_object_of_the_last_process(queue_folder):
    first = TreeQueue(EXAMPLE, 2, name="a")
    second = TreeQueue.attach("a")
    first.close()
    assert names(queue_folder) == ["a"]
    second.close()
    assert names(queue_folder) == []
    with pytest.raises(FileNotFoundError, match='"a"'):
        TreeQueue.attach("a")


def test_a_queue_outlives_its_creator_while_others_are_attached(queue_folder):
    creator = TreeQueue(EXAMPLE, 2, name="a")
    creator.put(item(5))
    (ready, attached), (end, release) = os.pipe(), os.pipe()

    def stay():
        creator.close()
        with TreeQueue.attach("a"):
            os.write(attached, b".")
            os.read(end, 1)

    child = in_forked_child(stay)
    os.read(ready, 1)
    creator.close()
    assert names(queue_folder) == ["a"]
    with TreeQueue.attach("a") as queue:
        assert queue.get()["reward"] == 5.0
    os.write(release, b".")
    reap(child)
    assert names(queue_folder) == []


def test_a_kept_queue_outlives_everybody(queue_folder):
    with TreeQueue(EXAMPLE, 2, name="a", keep=True) as queue:
        queue.put(item(7))
    assert names(queue_folder) == ["a"]
    with pytest.raises(FileExistsError, match="attach"):
        TreeQueue(EXAMPLE, 2, name="a")
    assert (
        python("from treequeues import TreeQueue; print(TreeQueue.attach('a').get()['reward'])")
        == "7.0"
    )
    with TreeQueue.open("a", EXAMPLE, 2) as queue:
        assert queue.empty()
        queue.unlink()
        assert names(queue_folder) == []
    assert names(queue_folder) == []


def test_only_a_name_can_be_kept():
    with pytest.raises(ValueError, match="name"):
        TreeQueue(EXAMPLE, 2, keep=True)


def test_a_taken_name_is_refused_and_the_queue_that_has_it_goes_on(queue_folder):
    with TreeQueue(EXAMPLE, 2, name="a") as queue:
        queue.put(item(1))
        with pytest.raises(FileExistsError, match='"a" exists'):
            TreeQueue(EXAMPLE, 2, name="a")
        assert queue.get()["reward"] == 1.0
        assert names(queue_folder) == ["a"]


def test_open_creates_then_attaches(queue_folder):
    with TreeQueue.open("a", EXAMPLE, 2) as first, TreeQueue.open("a", EXAMPLE, 2) as second:
        first.put(item(2))
        assert second.get()["reward"] == 2.0
    assert names(queue_folder) == []


def test_open_shows_a_misfit_side_by_side(queue_folder):
    asked = {"obs": np.zeros((4, 3), np.float32), "done": False}
    with TreeQueue(EXAMPLE, 2, name="a") as queue:
        with pytest.raises(SchemaError) as misfit:
            TreeQueue.open("a", asked, 3)
        lines = [line.split("  ") for line in str(misfit.value).splitlines()]
        cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
        assert cells[1:] == [
            ["asked for", "there"],
            ["maxsize", "3", "2"],
            ["obs", "float32 (4, 3)", "uint8 (4, 3)"],
            ["done", "a bool", "-"],
            ["reward", "-", "a float"],
        ]
        queue.put(item(1))
        assert queue.get()["reward"] == 1.0


def test_a_structure_that_differs_is_a_misfit_too():
    with TreeQueue([1.0, 2.0], 2, name="a"), pytest.raises(SchemaError, match="list"):
        TreeQueue.open("a", (1.0, 2.0), 2)


def test_unlink_frees_the_name_while_the_queue_goes_on(queue_folder):
    with TreeQueue(EXAMPLE, 2, name="a") as old:
        old.unlink()
        assert names(queue_folder) == []
        with TreeQueue(EXAMPLE, 2, name="a") as new:
            old.unlink()  # The name is another queue's now.
            assert names(queue_folder) == ["a"]
            old.put(item(1))
            new.put(item(2))
            assert (old.get()["reward"], new.get()["reward"]) == (1.0, 2.0)
            old.close()
            assert names(queue_folder) == ["a"]
    assert names(queue_folder) == []


def test_an_anonymous_queue_has_no_name_to_take_away(queue_folder):
    with TreeQueue(EXAMPLE, 2) as queue:
        assert queue.name is None
        with pytest.raises(ValueError, match="no name"):
            queue.unlink()
    assert names(queue_folder) == []


def test_views_that_outlive_a_closed_queue_keep_its_name(queue_folder):
    with TreeQueue(EXAMPLE, 2, name="a") as queue:
        queue.put(item(9))
        with queue.borrow() as loan:
            kept = loan.tree["obs"]
    assert names(queue_folder) == ["a"]
    assert (kept == 9).all()
    del kept, loan
    assert names(queue_folder) == []


def test_array_queues_have_names_too():
    with ArrayQueue(np.zeros(3), 2, name="a") as queue, ArrayQueue.attach("a") as other:
        assert type(other) is ArrayQueue
        queue.put(np.ones(3))
        assert other.get().sum() == 3.0
        with ArrayQueue.open("a", np.zeros(3), 2) as third:
            assert type(third) is ArrayQueue
        with pytest.raises(TypeError, match="expects an array"):
            ArrayQueue.open("a", {"x": np.zeros(3)}, 2)


@pytest.mark.parametrize("example", [EXAMPLE, 0.0, np.float32(0.0), [np.zeros(3)]])
def test_an_array_queue_does_not_attach_to_trees(queue_folder, example):
    with TreeQueue(example, 2, name="a"):
        with pytest.raises(SchemaError, match="TreeQueue"):
            ArrayQueue.attach("a")
        assert names(queue_folder) == ["a"]


def test_subclasses_attach_as_themselves():
    class Mine(TreeQueue):
        pass

    with (
        TreeQueue(EXAMPLE, 2, name="a"),
        Mine.attach("a") as mine,
        Mine.open("a", EXAMPLE, 2) as too,
    ):
        assert type(mine) is type(too) is Mine


def test_a_handle_of_a_process_that_is_gone_still_leads_there_by_the_name(queue_folder):
    with TreeQueue.open("a", EXAMPLE, 2) as queue:
        queue.put(item(4))
        handle = python(
            "import pickle; from treequeues import TreeQueue\n"
            "print(pickle.dumps(TreeQueue.attach('a')).hex())"
        )
        told = python(
            f"import pickle; print(pickle.loads(bytes.fromhex('{handle}')).get()['reward'])"
        )
        assert told == "4.0"


def test_a_handle_leads_into_another_pid_namespace_by_the_name():
    namespace = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*namespace, "true"], capture_output=True).returncode != 0:
        pytest.skip("no pid namespace can be had here")
    with TreeQueue(EXAMPLE, 2, name="a") as queue:
        queue.put(item(8))
        code = f"import pickle; print(pickle.loads({pickle.dumps(queue)!r}).get()['reward'])"
        done = subprocess.run(
            [*namespace, sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            text=True,
            timeout=WATCHDOG_S,
        )
        assert (done.stdout, done.stderr) == ("8.0\n", "")
        # Without a name nothing leads there.
        with TreeQueue(EXAMPLE, 2) as anonymous:
            code = f"import pickle; pickle.loads({pickle.dumps(anonymous)!r})"
            done = subprocess.run(
                [*namespace, sys.executable, "-c", code],
                capture_output=True,
                text=True,
                timeout=WATCHDOG_S,
            )
            assert "ConnectionError" in done.stderr
            assert "name=" in done.stderr


def test_a_name_that_leads_elsewhere_by_now_is_not_followed(queue_folder):
    code = (
        "import pickle; from treequeues import TreeQueue\n"
        "print(pickle.dumps(TreeQueue(0.0, 2, name='a')).hex())"
    )
    handle = bytes.fromhex(python(code))
    with TreeQueue(0.0, 2, name="a"), pytest.raises(ConnectionError, match="cannot be reached"):
        pickle.loads(handle)


def test_a_queue_that_was_inherited_by_fork_is_there_by_its_name_too():
    with TreeQueue(EXAMPLE, 2, name="a") as queue:

        def put_by_the_name():
            TreeQueue.attach("a").put(item(6))
            assert queue.qsize() == 1

        reap(in_forked_child(put_by_the_name))
        assert queue.get()["reward"] == 6.0


def test_a_folder_that_is_named_by_the_variable_is_made(queue_folder, monkeypatch):
    folder = queue_folder / "mine"
    monkeypatch.setenv("TREEQUEUES_DIR", str(folder))
    with pytest.raises(FileNotFoundError):
        TreeQueue.attach("a")
    assert not folder.exists()
    with TreeQueue(EXAMPLE, 2, name="a"):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "a").stat().st_mode & 0o777 == 0o600


def test_without_the_variable_the_folder_is_this_users_in_shared_memory(monkeypatch):
    monkeypatch.delenv("TREEQUEUES_DIR")
    name = f"test-{os.getpid()}"
    with TreeQueue(EXAMPLE, 2, name=name):
        assert os.path.exists(f"/dev/shm/treequeues-{os.geteuid()}/{name}")


def test_too_little_memory_is_an_error_with_the_figures(queue_folder):
    with pytest.raises(
        OSError, match=r"\d+ bytes are needed in .*treequeues-test.*\d+ are available"
    ) as lack:
        TreeQueue({"obs": np.broadcast_to(np.uint8(0), (1 << 40,))}, 16, name="a")
    assert lack.value.errno == 28  # ENOSPC
    assert names(queue_folder) == []

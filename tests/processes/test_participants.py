"""The participants' table: one entry a process, and what happens when there is none left."""

import os
import queue as standard

import pytest
from helpers import in_forked_child, reap

from treequeues import TreeQueue


def try_to_join(queue, outcome, release):
    """Take part in the queue, tell how that went, and stay until told to go."""
    try:
        queue.get_nowait()
    except standard.Empty:
        os.write(outcome, b"joined\n")
    except OSError as error:
        os.write(outcome, b"refused: " + str(error).replace("\n", " ").encode() + b"\n")
    os.read(release, 1)


@pytest.mark.parametrize("participants", [1, 3, None], ids=["one", "three", "as it comes"])
def test_a_participant_too_many_is_told_the_limit_and_death_makes_room(participants):
    limit = participants or 256
    chosen = {} if participants is None else {"participants": participants}
    (outcomes, outcome), (release, releaser) = os.pipe(), os.pipe()
    with TreeQueue(0, maxsize=2, **chosen) as queue, open(outcomes, "rb", buffering=0) as told:
        queue.put(1)
        queue.get()

        def join_and_wait():
            # With this end open too, no child would see that the parent let go.
            os.close(releaser)
            try_to_join(queue, outcome, release)

        # This process has an entry too, so that the last of as many children is one too many.
        children = [in_forked_child(join_and_wait) for _ in range(limit)]
        text = b""
        while text.count(b"\n") < limit:
            text += told.read(1 << 16)
        os.close(releaser)
        for child in children:
            reap(child)
        refused = [line for line in text.decode().splitlines() if line != "joined"]
        assert len(refused) == 1, text
        assert "participants=" in refused[0]
        assert str(limit) in refused[0]

        if limit > 1:
            reap(in_forked_child(lambda: queue.put(7)))
            assert queue.get() == 7
    os.close(outcome)
    os.close(release)

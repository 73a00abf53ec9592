"""Queues and topics that carry NumPy arrays and trees of arrays between processes through shared
memory, without pickling.

    from treequeues import TreeQueue

    queue = TreeQueue(nested_array={"obs": obs, "reward": 0.0}, maxsize=64)
    queue.put({"obs": obs, "reward": 1.5})   # in one process
    item = queue.get()                       # in another: the same tree, its arrays owned by you

Names, defaults and exceptions are those of `multiprocessing.Queue`. A queue gives each item to one
consumer; a `TreeTopic` gives each to every subscriber, and the newest to whoever asks.
"""

import sys as _sys

if not _sys.platform.startswith("linux"):
    raise ImportError(
        "treequeues runs on Linux: tested on x86-64, while 64-bit Arm should work and is untested. "
        f"This is {_sys.platform}."
    )

from treequeues import _door, _exit  # The first refuses what cannot work, before the others load.
from treequeues._array_queue import ArrayQueue
from treequeues._array_topic import ArrayTopic
from treequeues._core import (
    CorruptedError,
    Producing,
    ReadLoan,
    SchemaError,
    ShutDown,
    Subscription,
    TreeQueue,
    TreeTopic,
    WriteLoan,
    __version__,
)
from treequeues._loans import HeldViewWarning, ItemInfo
from treequeues._registry import register_node
from treequeues._sharing import UnsharedQueueWarning
from treequeues._stats import (
    ParticipantStats,
    ProducerStats,
    QueueCounters,
    QueueStats,
    SubscriptionStats,
    TopicStats,
)

_door.refuse_a_disabled_lock()
# Before the program's own handlers, which thus run earlier and may still use its queues.
_exit.install()

# What the earlier package of this name called it.
SimpleTreeQueue = TreeQueue

__all__ = [
    "ArrayQueue",
    "ArrayTopic",
    "CorruptedError",
    "HeldViewWarning",
    "ItemInfo",
    "ParticipantStats",
    "ProducerStats",
    "Producing",
    "QueueCounters",
    "QueueStats",
    "ReadLoan",
    "SchemaError",
    "ShutDown",
    "SimpleTreeQueue",
    "Subscription",
    "SubscriptionStats",
    "TopicStats",
    "TreeQueue",
    "TreeTopic",
    "UnsharedQueueWarning",
    "WriteLoan",
    "__version__",
    "register_node",
]

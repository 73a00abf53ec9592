"""How a queue travels to another process: as a handle, never with its contents.

While a process is being spawned, its descriptor of the segment is passed on with it. At any other
time (pools, queues sent through queues) the handle names this process and its descriptor, through
which the receiver opens its own. The receiver looks in its own process first, and checks the
segment's random id, so a handle that has outlived its queue is an error and never another queue.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.context import get_spawning_popen
from multiprocessing.reduction import DupFd
from typing import Any

from treequeues._core import TreeQueue


def reduce(
    queue: TreeQueue[Any],
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any] | None]:
    """What `queue.__reduce__` returns. Attributes of a subclass's objects travel along."""
    pid, fd, segment = queue._handle()
    passed = None if get_spawning_popen() is None else DupFd(fd)
    return (
        rebuild,
        (type(queue), pid, fd, segment, passed),
        getattr(queue, "__dict__", None) or None,
    )


def rebuild(
    cls: type[TreeQueue[Any]], pid: int, fd: int, segment: bytes, passed: Any
) -> TreeQueue[Any]:
    """A queue object of class `cls` on the segment, in the process that unpickles it."""
    queue = cls.__new__(cls)
    queue._attach(pid, fd, segment, None if passed is None else passed.detach())
    return queue

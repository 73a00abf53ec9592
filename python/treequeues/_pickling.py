"""How a queue or a topic travels to another process: as a handle, never with its contents.

While a process is being started, its descriptor of the segment is passed on with it. At any other
time (pools, queues sent through queues) the handle names this process and its descriptor, through
which the receiver opens its own. The receiver looks in its own process first, and checks the
segment's random id, so a handle that has outlived its queue is an error and never another queue.
The handle of a named queue also has the name and its folder, for when the process that made it is
gone.

A descriptor is passed on once for a process and segment, however many objects lead to it, but each
of their handles names it. So to the receiver its number is a hint: the first handle that is
unpickled uses it up, and what the number leads to is checked each time.

A fork server passes on a limited number of descriptors with a process. Beyond our part of it,
queues travel as they do at any other time; so that the process can still open them, the object of
the process keeps them here.

What dropped items are handed to, `on_drop`, travels as state, which is pickled after the queue: so
it may be a method of an object that has the queue.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.context import get_spawning_popen
from multiprocessing.reduction import DupFd
from typing import Any
from weakref import WeakKeyDictionary

from treequeues._core import Subscription, TreeQueue, TreeTopic

Shared = TreeQueue[Any] | TreeTopic[Any]

# What is passed on with each process that is being started, by segment.
_PASSED: WeakKeyDictionary[Any, dict[bytes, Any]] = WeakKeyDictionary()
# What a process opens through this one, by segment.
_KEPT: WeakKeyDictionary[Any, dict[bytes, Shared]] = WeakKeyDictionary()

# Descriptors of segments that a fork server passes on with a process: about half of the 252 that it
# takes of everybody (`multiprocessing.forkserver.MAXFDS_TO_SEND`, less four of its own).
_MOST_BY_FORK_SERVER = 128


def reduce(
    queue: Shared,
) -> tuple[Callable[..., Any], tuple[Any, ...], Any]:
    """What `queue.__reduce__` returns. Attributes of a subclass's objects travel along."""
    pid, fd, segment, name, folder = queue._handle()
    attributes, on_drop = getattr(queue, "__dict__", None) or None, getattr(queue, "on_drop", None)
    return (
        rebuild,
        (type(queue), pid, fd, segment, name, folder, _pass_on(queue, fd, segment)),
        # Of a pair, pickle sets the second part's attributes one by one.
        attributes if on_drop is None else (attributes, {"_on_drop": on_drop}),
    )


def rebuild(
    cls: type[Shared],
    pid: int,
    fd: int,
    segment: bytes,
    name: str | None,
    folder: str | None,
    passed: Any,
) -> Shared:
    """An object of class `cls` on the segment, in the process that unpickles it."""
    queue = cls.__new__(cls)
    queue._attach(pid, fd, segment, name, folder, None if passed is None else _number(passed))
    return queue


def subscribe_from(topic: TreeTopic[Any], ticket: int) -> Subscription[Any]:
    """A subscription, unpickled: another one, which begins where the original stood."""
    return topic._subscribe_from(ticket)


def _pass_on(queue: Shared, fd: int, segment: bytes) -> Any:
    """What leads the process that is being started to its copy of `fd`; None if there is none."""
    popen = get_spawning_popen()
    if popen is None:
        return None
    passed = _PASSED.setdefault(popen, {})
    if segment not in passed:
        if getattr(popen, "method", None) == "forkserver" and len(passed) >= _MOST_BY_FORK_SERVER:
            _KEPT.setdefault(popen, {})[segment] = queue
            return None
        # Once only: a process cannot be spawned with the same number twice.
        passed[segment] = DupFd(fd)
    return passed[segment]


def _number(passed: Any) -> int | None:
    """The number that a passed descriptor should have in this process; None if it has none."""
    try:
        number: int = passed.detach()
    except (IndexError, TypeError):
        # It was passed on by a fork server, but to another process: there is no list to look it
        # up in, or a shorter one.
        return None
    return number

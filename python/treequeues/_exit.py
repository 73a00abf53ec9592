"""Leaving named queues and topics when a process ends.

The file of a named queue or topic goes with its last participant. A process that ends leaves them
by closing them; one that is killed cannot, and its file stays until somebody replaces or cleans it.
Anonymous ones need none of this.

The block of a producer that is still open then ends too: only a process that is killed has died in
it.

The interpreter does not drop all objects when it ends, and a process of `multiprocessing` ends
without even trying. So they are closed by hand: after the program's own exit handlers, which
may still use them, and after `multiprocessing` has ended its daemonic processes. They are killed,
so if this process left before them, nobody would be there to take the name away.
"""

from __future__ import annotations

import atexit
import os
from multiprocessing import util
from typing import Any
from weakref import WeakValueDictionary

from treequeues._core import Producing, TreeQueue, TreeTopic

# By identity: a subclass's objects may have an equality of their own.
_NAMED: WeakValueDictionary[int, TreeQueue[Any] | TreeTopic[Any]] = WeakValueDictionary()

# Blocks of producers: a process that ends by itself has left them.
_BLOCKS: WeakValueDictionary[int, Producing] = WeakValueDictionary()

# After all finalizers that somebody gives a priority to.
_LAST = -(2**31)


def close_at_exit(queue: TreeQueue[Any] | TreeTopic[Any]) -> None:
    """Close this queue or topic when the process ends, if it still lives then."""
    _NAMED[id(queue)] = queue


def end_at_exit(block: Producing) -> None:
    """End the blocks of a producer when the process ends, if they are still open then."""
    _BLOCKS[id(block)] = block


def _close_all() -> None:
    for block in list(_BLOCKS.values()):
        block._end()
    for named in list(_NAMED.values()):
        if isinstance(named, TreeTopic):
            TreeTopic._close_at_exit(named)
        else:
            TreeQueue._close_at_exit(named)
    # Daemon threads that wait, and views, keep one although it is closed.
    TreeQueue._leave_names()


def _close_at_the_end(_: object) -> None:
    """As one of the finalizers that `multiprocessing` calls when this process ends."""
    global _finalized_pid
    _finalized_pid = os.getpid()
    util.Finalize(None, _close_all, exitpriority=_LAST)


def _close_at_the_end_of_a_bare_fork() -> None:
    """It has an interpreter's end, but its finalizers are its parent's and are not called."""
    if os.getpid() != _finalized_pid:
        _close_all()


class _Anchor:
    """What `register_after_fork` refers to: it must be alive, and of a class of Python's."""


_ANCHOR = _Anchor()
_finalized_pid = 0


def install() -> None:
    """Register the handlers: once the package is whole, so nothing is left of a failed import."""
    atexit.register(_close_at_the_end_of_a_bare_fork)
    # Children of multiprocessing run their finalizers, but forget those that they inherited.
    util.register_after_fork(_ANCHOR, _close_at_the_end)
    _close_at_the_end(_ANCHOR)

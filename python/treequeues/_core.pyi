from collections.abc import Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from treequeues._stats import QueueStats

__version__: str

T = TypeVar("T")

class SchemaError(ValueError):
    """A tree does not fit the schema of the queue.

    The message names the path of the misfit, what was expected there, and what came. Where a
    container or a leaf has the wrong type, the exception is also a TypeError.
    """

class CorruptedError(OSError):
    """The shared memory of the queue is damaged: something that does not run the queue's protocol
    wrote into it."""

class ShutDown(Exception):
    """The queue was shut down. From Python 3.13 on this is `queue.ShutDown`."""

class TreeQueue(Generic[T]):
    """A queue of trees of arrays, shared by processes.

    All memory is reserved at creation: `maxsize` slots, each with room for one item. Arrays are
    copied into a slot by `put` and out of it by `get`; nothing is pickled. Any participant may be
    killed at any moment: the others go on, no item that was put is lost, and the slots that it held
    come back.

    Pass the queue to other processes as you would a `multiprocessing.Queue`: by fork, as an
    argument of a `Process` (spawn and forkserver too), to a pool, or through another queue.

    nested_array: an example of the items: a tree of dicts, lists, tuples, namedtuples, dataclasses,
        attrs classes, None and registered nodes, whose leaves are arrays (or anything with a shape
        and a dtype), NumPy scalars, or Python bool, int, float and complex. Only its structure,
        shapes and dtypes count.
    maxsize: slots of the queue, at least 1.
    participants: how many processes can be attached at a time.

    Raises TypeError if a leaf cannot be carried, ValueError if a number is out of range,
    MemoryError, with the figures, if the memory is not there.
    """

    def __init__(self, nested_array: T, maxsize: int, *, participants: int = 256) -> None: ...
    def put(self, obj: T, block: bool = True, timeout: float | None = None) -> None:
        """Copy a tree into the queue. It is visible to readers when this returns.

        obj: a tree that fits the example: the same structure, each leaf of the same shape and
            dtype.
        block, timeout: whether to wait for a free slot, and how many seconds at most (None: for
            ever).

        Raises SchemaError if the tree does not fit, `queue.Full` if no slot became free in time,
        ShutDown, and ValueError after `close`. A put that raises leaves the queue as it was.
        """

    def put_nowait(self, obj: T) -> None:
        """`put(obj, block=False)`."""

    def get(self, block: bool = True, timeout: float | None = None, out: T | None = None) -> T:
        """Take the oldest tree. Its arrays are owned by the caller and writable.

        block, timeout: whether to wait for an item, and how many seconds at most (None: for ever).
        out: a tree like the example, whose arrays are filled instead of new ones, and which is
            returned.

        Raises SchemaError if `out` does not fit, `queue.Empty` if no item came in time, ShutDown
        when the queue is shut down and drained, and ValueError after `close`. A get that raises
        takes nothing.
        """

    def get_nowait(self, out: T | None = None) -> T:
        """`get(block=False)`."""

    def qsize(self) -> int:
        """How many items can be taken."""

    def empty(self) -> bool:
        """Whether no item can be taken."""

    def full(self) -> bool:
        """Whether no slot can be filled: each holds an item, or is being written or read."""

    @property
    def maxsize(self) -> int:
        """Slots of the queue."""

    @property
    def nbytes(self) -> int:
        """Bytes of shared memory that the queue takes in all."""

    def stats(self) -> QueueStats:
        """What is in the queue, slot by slot counted."""

    def close(self) -> None:
        """End this process's use of the queue: later calls raise ValueError. Other processes go
        on."""

    def shutdown(self, immediate: bool = False) -> None:
        """Shut the queue down for every process: puts raise ShutDown, gets drain what is there and
        then raise it.

        immediate: gets raise at once too.
        """

    def join_thread(self) -> None:
        """Nothing to wait for: there is no feeder thread."""

    def cancel_join_thread(self) -> None:
        """Nothing to cancel: there is no feeder thread."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __iter__(self) -> Iterator[T]:
        """Take items until the queue is shut down and drained."""

    def __next__(self) -> T: ...
    def _attach(self, pid: int, fd: int, segment: bytes, passed: int | None) -> None: ...
    def _handle(self) -> tuple[int, int, bytes]: ...

def _pickle_schema_type_error(error: Any) -> tuple[Any, Any]: ...
def _unpickle_schema_type_error(*args: Any) -> Any: ...

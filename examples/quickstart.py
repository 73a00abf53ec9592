"""One process puts a tree of three arrays, another gets it."""

from multiprocessing import Process
from typing import NamedTuple

import numpy as np

from treequeues import TreeQueue


class Step(NamedTuple):
    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray


class Reader(Process):
    def __init__(self, queue: TreeQueue[Step]) -> None:
        super().__init__()
        self.queue = queue

    def run(self) -> None:
        print(self.queue.get())


if __name__ == "__main__":
    step = Step(np.arange(6.0).reshape(2, 3), np.array([1, 0]), np.array(0.5, dtype=np.float32))

    # The example fixes shapes, dtypes and nesting; its values do not matter.
    queue = TreeQueue(nested_array=step, maxsize=10)
    reader = Reader(queue)
    reader.start()
    queue.put(step)
    reader.join()

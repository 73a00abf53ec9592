"""One process fills slots in place, another reads them in place: no copy, however large the image.

A block that ends well publishes what it reserved, or frees what it borrowed; an exception undoes
either. A function fills or reads the slot, so that no name for its arrays outlives the block.
"""

from contextlib import suppress
from multiprocessing import Process
from typing import TypedDict

import numpy as np

from treequeues import ShutDown, TreeQueue


class Shot(TypedDict):
    image: np.ndarray
    number: np.ndarray


def expose(shot: Shot, number: int) -> None:
    shot["image"].fill(number)  # A camera's driver would write here.
    shot["number"][...] = number


def camera(queue: TreeQueue[Shot]) -> None:
    for number in range(5):
        with queue.reserve() as loan:
            expose(loan.tree, number)
    queue.shutdown()  # The only camera is done: what is there can still be had.


if __name__ == "__main__":
    example = Shot(image=np.zeros((2160, 3840), np.uint8), number=np.array(0))
    queue = TreeQueue(example, maxsize=4)
    Process(target=camera, args=(queue,)).start()
    with suppress(ShutDown):
        while True:
            with queue.borrow() as loan:
                print(f"shot {loan.tree['number']}: mean {loan.tree['image'].mean()}")

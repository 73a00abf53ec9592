"""Actors put one item at a time, a learner takes them in batches that are stacked already."""

from contextlib import suppress
from multiprocessing import Process
from typing import NamedTuple

import numpy as np

from treequeues import ShutDown, TreeQueue


class Step(NamedTuple):
    observation: np.ndarray
    reward: np.ndarray


def act(queue: TreeQueue[Step]) -> None:
    for number in range(50):
        queue.put(Step(np.full((84, 84), number, np.uint8), np.array(number / 2)))


def learn(queue: TreeQueue[Step]) -> None:
    for least in (32, 1):  # Full batches while there are any, then one of what is left.
        with suppress(ShutDown):  # It comes when fewer are left, and then it has taken none.
            while True:
                batch = queue.get_batch(32, min=least)
                print(batch.observation.shape, batch.reward.shape)


if __name__ == "__main__":
    queue = TreeQueue(Step(np.zeros((84, 84), np.uint8), np.array(0.0)), maxsize=64)
    learner = Process(target=learn, args=(queue,))
    actors = [Process(target=act, args=(queue,)) for _ in range(2)]
    for process in (learner, *actors):
        process.start()
    for actor in actors:
        actor.join()
    queue.shutdown()  # That was all: what is there can still be had, then comes ShutDown.
    learner.join()

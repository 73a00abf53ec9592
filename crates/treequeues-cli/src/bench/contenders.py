"""One process puts, another gets: a line of JSON for each queue and size.

Arguments: the queues' maxsize, rounds, seconds a round, and the items' bytes.
"""

import json
import multiprocessing
import statistics
import sys
import time

MAXSIZE, ROUNDS = int(sys.argv[1]), int(sys.argv[2])
SECONDS = float(sys.argv[3])
SIZES = [int(size) for size in sys.argv[4:]]
# Seconds that the second process may take to answer.
PATIENCE = 30

processes = multiprocessing.get_context("fork")


def sink(queue, done):
    """Gets items, and answers the last one of each round: it begins with a 1."""
    while True:
        if queue.get()[0] == 1:
            done.send(None)


def rate(queue, item, last):
    receiver, sender = processes.Pipe(duplex=False)
    consumer = processes.Process(target=sink, args=(queue, sender), daemon=True)
    consumer.start()

    def finish():
        queue.put(last)
        if not receiver.poll(PATIENCE):
            sys.exit("the second process does not answer")
        receiver.recv()

    finish()
    rounds = []
    for _ in range(ROUNDS):
        count, began = 1, time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            queue.put(item)
            count += 1
        finish()
        rounds.append(count / (time.perf_counter() - began))
    consumer.terminate()
    consumer.join()
    return statistics.median(rounds)


def report(queue, size, items_per_second):
    line = {"queue": queue, "item_bytes": size, "items_per_second": items_per_second}
    print(json.dumps(line), flush=True)


try:
    import numpy

    from treequeues import ArrayQueue
except ImportError:
    ArrayQueue = None

version = f"Python {sys.version_info.major}.{sys.version_info.minor}"
for size in SIZES:
    if ArrayQueue is not None:
        item, last = numpy.zeros(size, numpy.uint8), numpy.ones(size, numpy.uint8)
        report(f"treequeues, {version}", size, rate(ArrayQueue(item, MAXSIZE), item, last))
    item, last = bytes(size), b"\1" * size
    name = f"multiprocessing.Queue, {version}"
    report(name, size, rate(processes.Queue(MAXSIZE), item, last))

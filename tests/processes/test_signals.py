"""Signals and threads: blocked calls answer Ctrl-C, run handlers, and let other threads work."""

import multiprocessing
import os
import signal
import statistics
import threading
import time
from queue import Empty, Full

import pytest
from helpers import WATCHDOG_S, drain, marked, read_mark, wait_until_asleep

from treequeues import TreeQueue

INTERRUPTS = 20

# What a person may have to wait for Ctrl-C before the test calls it ignored.
INTERRUPT_WATCHDOG_S = 1.0


def block_until_interrupted(queue, put, connection):
    """Block, be interrupted, say when, and show that the queue still works; again and again."""
    # A parent that ignores SIGINT, a shell's background job, hands that down.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in range(INTERRUPTS):
        if put:
            queue.put(marked(1, number))
        try:
            connection.send("blocking")
            if put:
                queue.put(marked(2, number))
            else:
                queue.get()
            connection.send("returned")
        except KeyboardInterrupt:
            connection.send(time.monotonic())
        if not put:
            queue.put_nowait(marked(1, number))
        # What was interrupted left no trace: the item is the one that was put before.
        assert read_mark(queue.get_nowait()) == (1, number)
        assert queue.empty()


@pytest.mark.parametrize("put", [False, True], ids=["get", "put"])
def test_ctrl_c_interrupts_a_blocked_call_and_leaves_the_queue_usable(nursery, figure, put):
    with TreeQueue(marked(0, 0), maxsize=1) as queue:
        here, there = multiprocessing.get_context("spawn").Pipe()
        process = nursery.start("spawn", block_until_interrupted, queue, put, there)
        there.close()
        took = []
        for _ in range(INTERRUPTS):
            assert here.poll(WATCHDOG_S)
            assert here.recv() == "blocking"
            wait_until_asleep(process.pid)
            start = time.monotonic()
            os.kill(process.pid, signal.SIGINT)
            assert here.poll(WATCHDOG_S), "Ctrl-C was not answered"
            end = here.recv()
            assert end != "returned"
            # CLOCK_MONOTONIC is one clock for all processes.
            took.append(end - start)
        nursery.finish(process)
        median = 1000 * statistics.median(took)
        figure(f"median {median:.1f} ms, longest {1000 * max(took):.1f} ms, of {INTERRUPTS}")
        assert max(took) <= INTERRUPT_WATCHDOG_S
        queue.put_nowait(marked(9, 9))
        with pytest.raises(Full):
            queue.put_nowait(marked(9, 9))
        assert read_mark(queue.get_nowait()) == (9, 9)


def test_ctrl_c_interrupts_iteration(nursery):
    with TreeQueue(marked(0, 0), maxsize=1) as queue:
        here, there = multiprocessing.get_context("spawn").Pipe()
        process = nursery.start("spawn", iterate_until_interrupted, queue, there)
        assert here.poll(WATCHDOG_S)
        here.recv()
        wait_until_asleep(process.pid)
        os.kill(process.pid, signal.SIGINT)
        nursery.finish(process)


def put_for_ever(queue):
    while True:
        queue.put(marked(1, 1))


def get_for_ever(queue):
    while True:
        queue.get()


def get_until_interrupted_again_and_again(queue, connection):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for _ in range(INTERRUPTS):
        try:
            connection.send("getting")
            while True:
                read_mark(queue.get())
        except KeyboardInterrupt:
            connection.send("interrupted")


def test_ctrl_c_is_answered_while_others_keep_waking_the_call_and_take_the_items(nursery):
    with TreeQueue(marked(0, 0), maxsize=2) as queue:
        for function in (put_for_ever, get_for_ever, get_for_ever):
            nursery.start("spawn", function, queue)
        here, there = multiprocessing.get_context("spawn").Pipe()
        process = nursery.start("spawn", get_until_interrupted_again_and_again, queue, there)
        there.close()
        for number in range(INTERRUPTS):
            assert here.poll(WATCHDOG_S)
            assert here.recv() == "getting"
            # Anywhere: in a sleep, in a look, in the copy, between two calls.
            time.sleep(0.01 + 0.001 * number)
            os.kill(process.pid, signal.SIGINT)
            assert here.poll(WATCHDOG_S), "Ctrl-C was not answered"
            assert here.recv() == "interrupted"
        nursery.finish(process)


def iterate_until_interrupted(queue, connection):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    connection.send("blocking")
    with pytest.raises(KeyboardInterrupt):
        for _ in queue:
            raise AssertionError("nobody put anything")


def signal_soon(number, count=1):
    """Send a signal to the main thread, `count` times, from a thread of this process."""
    main = threading.get_ident()

    def send():
        for _ in range(count):
            time.sleep(0.1)
            signal.pthread_kill(main, number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.fixture
def on_signal():
    """Install a handler for SIGUSR1 for the length of a test."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda handler: signal.signal(signal.SIGUSR1, handler)
    signal.signal(signal.SIGUSR1, before)


def test_a_handler_runs_while_a_get_blocks_and_the_get_goes_on(on_signal):
    with TreeQueue(0, maxsize=1) as queue:
        ran = []

        def handler(number, frame):
            ran.append(time.monotonic())
            if len(ran) == 3:
                queue_in_another_hand.put(5)

        on_signal(handler)
        queue_in_another_hand = queue
        thread = signal_soon(signal.SIGUSR1, 3)
        # The third handler puts, into the very queue that its own thread waits for.
        assert queue.get(timeout=WATCHDOG_S) == 5
        assert len(ran) == 3
        thread.join(WATCHDOG_S)


def test_a_handler_runs_while_a_put_blocks_and_the_put_goes_on(on_signal):
    with TreeQueue(0, maxsize=1) as queue:
        got = []
        on_signal(lambda number, frame: got.append(queue.get_nowait()))
        queue.put(1)
        thread = signal_soon(signal.SIGUSR1)
        queue.put(2, timeout=WATCHDOG_S)
        thread.join(WATCHDOG_S)
        assert got == [1]
        assert queue.get_nowait() == 2


def test_a_timeout_is_kept_though_handlers_run_meanwhile(on_signal):
    with TreeQueue(0, maxsize=1) as queue:
        ran = []
        on_signal(lambda number, frame: ran.append(1))
        thread = signal_soon(signal.SIGUSR1, 5)
        start = time.monotonic()
        with pytest.raises(Empty):
            queue.get(timeout=1)
        assert time.monotonic() - start >= 1
        thread.join(WATCHDOG_S)
        assert len(ran) == 5


@pytest.mark.parametrize("put", [False, True], ids=["get", "put"])
def test_an_exception_of_a_handler_comes_out_of_the_blocked_call(on_signal, put):
    class Enough(Exception):
        pass

    def handler(number, frame):
        raise Enough

    with TreeQueue(0, maxsize=1) as queue:
        on_signal(handler)
        if put:
            queue.put(1)
        thread = signal_soon(signal.SIGUSR1)
        with pytest.raises(Enough):
            if put:
                queue.put(2, timeout=WATCHDOG_S)
            else:
                queue.get(timeout=WATCHDOG_S)
        thread.join(WATCHDOG_S)
        if not put:
            queue.put_nowait(1)
        assert queue.get_nowait() == 1
        assert queue.empty()


# Threads.


@pytest.mark.parametrize("maxsize", [1, 5])
@pytest.mark.parametrize(("producers", "consumers"), [(1, 1), (4, 4), (3, 1), (1, 3)])
def test_threads_of_one_process_share_a_queue(maxsize, producers, consumers):
    count = 400
    seen = [[] for _ in range(consumers)]
    errors = []
    with TreeQueue(marked(0, 0), maxsize=maxsize) as queue:

        def put(producer):
            for sequence in range(count):
                queue.put(marked(producer, sequence), timeout=WATCHDOG_S)

        def get(marks):
            for item in queue:
                marks.append(read_mark(item))

        def guarded(function, argument):
            try:
                function(argument)
            except BaseException as error:
                errors.append(error)

        getting = [threading.Thread(target=guarded, args=(get, marks)) for marks in seen]
        putting = [threading.Thread(target=guarded, args=(put, one)) for one in range(producers)]
        for thread in getting + putting:
            thread.daemon = True
            thread.start()
        for thread in putting:
            thread.join(WATCHDOG_S)
        queue.shutdown()
        for thread in getting:
            thread.join(WATCHDOG_S)
        assert not any(thread.is_alive() for thread in getting + putting)
    assert errors == []
    everything = sorted(mark for marks in seen for mark in marks)
    assert everything == [(p, n) for p in range(producers) for n in range(count)]
    for marks in seen:
        for producer in range(producers):
            sequences = [n for p, n in marks if p == producer]
            assert sequences == sorted(sequences)


@pytest.mark.parametrize("put", [False, True], ids=["get", "put"])
def test_a_blocked_call_lets_other_threads_run(put):
    with TreeQueue(0, maxsize=1) as queue:
        if put:
            queue.put(1)
        counts = []

        def count_and_release():
            count = 0
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                count += 1
            counts.append(count)
            if put:
                queue.get()
            else:
                queue.put(1)

        thread = threading.Thread(target=count_and_release)
        thread.start()
        # Were the interpreter held in here, the other thread would never release this call.
        if put:
            queue.put(2, timeout=WATCHDOG_S)
        else:
            queue.get(timeout=WATCHDOG_S)
        thread.join(WATCHDOG_S)
        assert counts[0] > 0
        drain(queue, 0)


def test_threads_may_create_and_close_queues_at_once():
    errors = []

    def churn():
        try:
            for number in range(25):
                with TreeQueue(0, maxsize=2) as queue:
                    queue.put(number)
                    assert queue.get() == number
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=churn) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WATCHDOG_S)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []

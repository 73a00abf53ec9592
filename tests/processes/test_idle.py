"""What a queue costs while nothing happens: CPU time, threads, descriptors, mappings."""

import gc
import os
import resource
import time
from queue import Empty, Full

import pytest
from helpers import marked, open_descriptors, shared_mappings, wait_until

from treequeues import TreeQueue

BLOCKED_S = 10.0
CPU_BOUND_S = 0.05
QUEUES = 10
CYCLES = 100


def cpu_s():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def block(queue, put):
    """Block until the timeout; the seconds that took, on the wall and of the CPU."""
    item = marked(1, 1)
    start, cpu = time.monotonic(), cpu_s()
    try:
        if put:
            queue.put(item, timeout=BLOCKED_S)
        else:
            queue.get(timeout=BLOCKED_S)
    except (Empty, Full):
        return time.monotonic() - start, cpu_s() - cpu
    raise AssertionError("the call did not block")


def test_processes_that_block_for_ten_seconds_use_hardly_any_cpu(nursery, figure):
    with (
        TreeQueue(marked(0, 0), maxsize=1) as empty,
        TreeQueue(marked(0, 0), maxsize=1) as full,
    ):
        full.put(marked(0, 0))
        asked = {
            "get": nursery.ask("spawn", block, empty, False),
            "put": nursery.ask("spawn", block, full, True),
        }
        for name, one in asked.items():
            wall, cpu = nursery.answer(one)
            figure(f"{name} blocked {wall:.1f} s, {1000 * cpu:.1f} ms of CPU")
            assert wall >= BLOCKED_S
            assert cpu <= CPU_BOUND_S


def thread_count(pid="self"):
    return len(os.listdir(f"/proc/{pid}/task"))


def children_count():
    with open(f"/proc/self/task/{os.getpid()}/children") as children:
        return len(children.read().split())


def count_helpers():
    """Threads and children of a fresh process, before any queue and after much use of one."""
    before = thread_count(), children_count()
    queue = TreeQueue(marked(0, 0), maxsize=2)
    for number in range(100):
        queue.put(marked(1, number))
        queue.get()
    with pytest.raises(Empty):
        queue.get(timeout=0.2)
    during = thread_count(), children_count()
    queue.close()
    return before, during, (thread_count(), children_count())


def test_a_queue_has_no_helper_thread_and_no_helper_process(nursery):
    before, during, after = nursery.call("spawn", count_helpers)
    assert before == during == after


def get_for_long(queue):
    queue.get()


def test_a_blocked_process_has_no_helper_thread(nursery):
    with TreeQueue(marked(0, 0), maxsize=2) as queue:
        before = thread_count()
        process = nursery.start("fork", get_for_long, queue)
        # A forked child begins with one thread, whatever its parent has.
        wait_until(lambda: os.path.exists(f"/proc/{process.pid}/task"), "the child runs")
        time.sleep(0.3)
        assert thread_count(process.pid) == 1
        queue.put(marked(1, 1))
        nursery.finish(process)
        # Fewer is possible: NumPy's linear algebra lets its threads go when a process forks.
        assert thread_count() <= before


def count_descriptors():
    """Descriptors before, with one queue, with ten, with ten in use, and with none again."""
    TreeQueue(0, maxsize=1).close()
    before = open_descriptors(settled=True)
    queues = [TreeQueue(marked(0, 0), maxsize=2)]
    one = len(open_descriptors())
    queues += [TreeQueue(marked(0, 0), maxsize=2) for _ in range(QUEUES - 1)]
    ten = len(open_descriptors())
    for queue in queues:
        queue.put(marked(1, 1))
        queue.get()
        with pytest.raises(Empty):
            queue.get(timeout=0.01)
    used = len(open_descriptors())
    for queue in queues:
        queue.close()
    return len(before), one, ten, used, open_descriptors() == before


def test_a_queue_has_a_constant_number_of_descriptors_and_gives_them_back(nursery, figure):
    before, one, ten, used, all_back = nursery.call("spawn", count_descriptors)
    each = one - before
    figure(f"{each} descriptors a queue")
    assert each > 0
    assert ten - before == QUEUES * each
    assert used == ten
    assert all_back


def count_after_cycles():
    """Descriptors and shared mappings after many lives of a queue, closed and merely dropped."""
    TreeQueue(0, maxsize=1).close()
    before = open_descriptors(settled=True), shared_mappings()
    for number in range(CYCLES):
        queue = TreeQueue(marked(0, 0), maxsize=2)
        queue.put(marked(1, number))
        queue.get()
        queue.close()
    closed = open_descriptors(), shared_mappings()
    for number in range(CYCLES):
        queue = TreeQueue(marked(0, 0), maxsize=2)
        queue.put(marked(1, number))
        queue.get()
        del queue
    gc.collect()
    return before, closed, (open_descriptors(), shared_mappings())


def test_closed_and_dropped_queues_leave_no_descriptor_and_no_mapping(nursery):
    before, closed, dropped = nursery.call("spawn", count_after_cycles)
    assert closed == before
    assert dropped == before


def resident_kib():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def grow_by_use():
    """KiB by which a process grows over many puts and gets of one queue, after warming up."""
    with TreeQueue(marked(0, 0), maxsize=4) as queue:

        def work(count):
            for number in range(count):
                queue.put(marked(1, number))
                queue.get()
                for misfit in (None, {"producer": 1}):
                    with pytest.raises(ValueError):
                        queue.put(misfit)

        work(2000)
        before = resident_kib()
        work(20000)
        return resident_kib() - before


def test_a_process_does_not_grow_by_using_a_queue(nursery, figure):
    grown = nursery.call("spawn", grow_by_use)
    figure(f"{grown} KiB grown over 20,000 items and 40,000 refusals")
    # One leaked object of the smallest kind a call would be above this.
    assert grown < 1024

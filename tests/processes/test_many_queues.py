"""Hundreds of queues that go to one process, under every start method."""

import multiprocessing
import resource

import pytest
from helpers import START_METHODS, WATCHDOG_S, die_with_parent

from treequeues import TreeQueue

# More than a fork server passes on descriptors with one process.
MANY = 300


def put_number_of_each(queues):
    die_with_parent()
    for number, queue in enumerate(queues):
        queue.put(number, timeout=WATCHDOG_S)


@pytest.fixture
def room_for_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MANY
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"a process may have {hard} descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def finish(process):
    process.join(WATCHDOG_S)
    if process.is_alive():
        process.kill()
    assert process.exitcode == 0


@pytest.mark.parametrize("method", START_METHODS)
def test_hundreds_of_queues_go_to_one_process(method, room_for_descriptors):
    queues = [TreeQueue(0, maxsize=1) for _ in range(MANY)]
    context = multiprocessing.get_context(method)
    process = context.Process(target=put_number_of_each, args=(queues,))
    process.start()
    finish(process)
    assert [queue.get(timeout=WATCHDOG_S) for queue in queues] == list(range(MANY))
    for queue in queues:
        queue.close()


@pytest.mark.parametrize("method", START_METHODS)
def test_queues_that_their_maker_forgets_reach_the_process_all_the_same(
    method, room_for_descriptors
):
    context = multiprocessing.get_context(method)
    process = context.Process(
        target=put_number_of_each, args=([TreeQueue(0, maxsize=1) for _ in range(MANY)],)
    )
    # It forgets its arguments.
    process.start()
    finish(process)

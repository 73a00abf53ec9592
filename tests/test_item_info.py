"""What a queue knows about an item beside its tree, told by a borrow and by `get(info=True)`."""

import os
import pickle
import time
from queue import Empty

import numpy as np
import pytest
from helpers import WATCHDOG_S

from treequeues import ItemInfo, TreeQueue

# Two clocks that are read one after the other may be set in between, by this much.
CLOCK_SLACK_S = 1.0

EXAMPLE = {"number": 0, "frame": np.zeros(10)}


def make_item(number):
    return {"number": number, "frame": np.full(10, float(number))}


@pytest.fixture
def queue():
    with TreeQueue(EXAMPLE, maxsize=4) as queue:
        yield queue


def put(queue, number):
    queue.put(make_item(number), timeout=WATCHDOG_S)


def put_late(queue, number):
    """Put, and tell one's number and the time."""
    put(queue, number)
    return os.getpid(), time.time()


def test_a_get_tells_its_items_info_where_it_is_asked_to(queue):
    put(queue, 7)
    item, info = queue.get(info=True)
    assert item["number"] == 7 and (item["frame"] == 7).all()
    assert isinstance(info, ItemInfo) and isinstance(info, tuple)
    assert info._fields == ("ticket", "put_time", "producer_pid", "delivery_count")
    assert [type(field) for field in info] == [int, float, int, int]


def test_a_get_that_is_not_asked_gives_the_tree_alone(queue):
    put(queue, 7)
    assert queue.get(info=False).keys() == EXAMPLE.keys()


def test_info_goes_with_all_arguments_of_a_get():
    with TreeQueue({"frame": np.zeros(3)}, maxsize=1) as queue:
        queue.put({"frame": np.ones(3)})
        out = {"frame": np.zeros(3)}
        item, info = queue.get(True, 1.0, out, True)
        assert item is out and (out["frame"] == 1).all()
        assert info.delivery_count == 1
        with pytest.raises(Empty):
            queue.get(block=False, info=True)


def test_tickets_count_the_items_from_0_on_over_all_laps(queue):
    for number in range(20):
        put(queue, number)
        assert queue.get(info=True)[1].ticket == number


def test_tickets_tell_the_order_of_puts_whatever_was_aborted_between(queue):
    tickets = []
    for number in range(20):
        if number % 3 == 0:
            queue.reserve().abort()
        put(queue, number)
        tickets.append(queue.get(info=True)[1].ticket)
    assert tickets == sorted(set(tickets))


def test_the_put_time_is_the_wall_clocks(queue):
    before = time.time()
    put(queue, 1)
    put(queue, 2)
    after = time.time()
    times = [queue.get(info=True)[1].put_time for _ in range(2)]
    assert before - CLOCK_SLACK_S <= times[0] <= times[1] <= after + CLOCK_SLACK_S


def test_the_put_time_of_a_reserved_item_is_not_that_of_its_get(queue):
    with queue.reserve() as loan:
        loan.write(make_item(1))
    committed = time.time()
    # More than the slack, so that the time of the get would be seen.
    time.sleep(2 * CLOCK_SLACK_S)
    assert queue.get(info=True)[1].put_time <= committed + CLOCK_SLACK_S


def test_the_producer_is_named_by_its_pid(queue, nursery, start_method):
    pid, put_at = nursery.call(start_method, put_late, queue, 1)
    put(queue, 2)
    first, second = (queue.get(timeout=WATCHDOG_S, info=True)[1] for _ in range(2))
    assert first.producer_pid == pid != os.getpid()
    assert abs(first.put_time - put_at) <= CLOCK_SLACK_S
    assert second.producer_pid == os.getpid()
    assert first.ticket < second.ticket


def test_a_forked_child_is_a_producer_of_its_own_though_its_parent_put_before(queue, nursery):
    put(queue, 1)
    pid, _ = nursery.call("fork", put_late, queue, 2)
    put(queue, 3)
    pids = [queue.get(info=True)[1].producer_pid for _ in range(3)]
    assert pids == [os.getpid(), pid, os.getpid()]


def test_a_borrow_tells_the_same_as_a_get_during_the_loan_and_after_it(queue):
    put(queue, 7)
    with queue.borrow() as loan:
        info = loan.info
        assert loan.infos == [info]
        loan.give_back()
        assert loan.info == info and loan.infos == [info]
    assert isinstance(info, ItemInfo)
    assert info.delivery_count == 1 and info.producer_pid == os.getpid()
    item, again = queue.get(info=True)
    assert item["number"] == 7
    assert again == info._replace(delivery_count=2)


def test_the_info_of_a_loan_that_was_released_can_still_be_read(queue):
    put(queue, 7)
    with queue.borrow() as loan:
        pass
    # By others, over and over.
    for number in range(20):
        put(queue, number)
        queue.get()
    assert loan.info.ticket == 0 and loan.info.delivery_count == 1


def test_each_delivery_is_counted(queue):
    put(queue, 7)
    put(queue, 8)
    for count in range(1, 10):
        with pytest.raises(ZeroDivisionError), queue.borrow() as loan:
            assert loan.info.ticket == 0 and loan.info.delivery_count == count
            raise ZeroDivisionError
    assert queue.get(info=True)[1].delivery_count == 10
    # And of each item on its own.
    assert queue.get(info=True)[1].delivery_count == 1


def test_the_next_item_of_a_slot_begins_anew():
    with TreeQueue(EXAMPLE, maxsize=1) as queue:
        put(queue, 1)
        queue.borrow().give_back()
        assert queue.get(info=True)[1].delivery_count == 2
        put(queue, 2)
        assert queue.get(info=True)[1].delivery_count == 1


def test_a_get_that_fails_and_takes_nothing_counts_for_nothing(queue):
    put(queue, 7)
    with pytest.raises(ValueError):
        queue.get(out={"number": 0, "frame": np.zeros(11)})
    assert queue.get(info=True)[1].delivery_count == 1


def test_an_info_pickles_and_compares_like_a_tuple(queue):
    put(queue, 7)
    info = queue.get(info=True)[1]
    assert pickle.loads(pickle.dumps(info)) == info == tuple(info)
    with pytest.raises(AttributeError):
        info.ticket = 5

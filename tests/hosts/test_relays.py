"""Queues across hosts: relays, a real NATS server, and kills of all three."""

import contextlib
import os
import random
import signal
import threading
import time
from queue import Empty, Full

import numpy as np
import pytest
from helpers import WATCHDOG_S
from servers import Hosts, until

from treequeues import ShutDown

# The soak has more of them.
KILLS = int(os.environ.get("TREEQUEUES_HOST_KILLS", "24"))

EXAMPLE = {"obs": np.zeros((12, 7), np.uint8), "n": 0, "producer": 0}


def item(n, producer=0):
    return {"obs": np.full((12, 7), n % 251, np.uint8), "n": n, "producer": producer}


@pytest.fixture
def hosts(tmp_path):
    found = Hosts(tmp_path)
    yield found
    found.end()


@pytest.fixture
def two(hosts):
    """A queue on a host with a push relay, and one on a host with a pull relay."""
    hosts.serve()
    near, far = hosts.queue("near", EXAMPLE), hosts.queue("far", EXAMPLE)
    hosts.push, hosts.pull = hosts.relay("near", "push"), hosts.relay("far", "pull")
    return hosts, near, far


def test_items_come_in_order_and_say_where_they_were_put(two):
    _, near, far = two
    producer = threading.Thread(target=lambda: [near.put(item(n)) for n in range(500)], daemon=True)
    before = time.time()
    producer.start()
    for n in range(500):
        got, info = far.get(timeout=WATCHDOG_S, info=True)
        assert got["n"] == n
        np.testing.assert_array_equal(got["obs"], item(n)["obs"])
        assert (info.host, info.producer_pid, info.delivery_count) == ("near", os.getpid(), 1)
        assert before <= info.put_time <= time.time()
    producer.join()
    assert "host='near'" in repr(info)
    assert info._replace(ticket=3).host == "near"
    far.put(item(7))
    assert far.get(info=True)[1].host is None


def test_what_was_put_is_there_when_relays_and_server_come_later(hosts):
    hosts.serve(start=False)
    near, far = hosts.queue("near", EXAMPLE), hosts.queue("far", EXAMPLE)
    for n in range(16):
        near.put(item(n))
    push, pull = hosts.relay("near", "push"), hosts.relay("far", "pull")
    for relay in (push, pull):
        relay.says("no server answers")
    hosts.server.start()
    assert [far.get(timeout=WATCHDOG_S)["n"] for _ in range(16)] == list(range(16))
    assert (push.end(), pull.end()) == (0, 0)


def test_a_relay_waits_for_the_queue_and_makes_none(hosts):
    hosts.serve()
    push = hosts.relay("near", "push")
    push.says('waits for the queue "steps"')
    assert push.end() == 0
    assert [path.name for path in hosts.host("near").iterdir()] == ["push.log"]


def test_a_full_stream_holds_the_producers_and_loses_nothing(hosts):
    hosts.serve()
    near = hosts.queue("near", EXAMPLE)
    push = hosts.relay("near", "push", "--max-bytes", "16KiB")
    put = 0
    end = time.monotonic() + WATCHDOG_S
    while "the stream is full" not in push.said():
        assert time.monotonic() < end, push.said()
        with contextlib.suppress(Full):
            near.put(item(put), timeout=0.1)
            put += 1
    with pytest.raises(Full):
        for _ in range(near.maxsize + 1):
            near.put(item(put), timeout=1)
            put += 1
    far = hosts.queue("far", EXAMPLE)
    hosts.relay("far", "pull")
    assert [far.get(timeout=WATCHDOG_S)["n"] for _ in range(put)] == list(range(put))


@pytest.mark.timeout(180 + 2 * KILLS)
@pytest.mark.parametrize("maxsize", [16, 256])
def test_kills_of_relays_and_server_lose_nothing_repeat_nothing_and_keep_the_order(
    hosts, figure, maxsize
):
    hosts.serve()
    near = hosts.queue("near", EXAMPLE, maxsize)
    far = hosts.queue("far", EXAMPLE, maxsize)
    hosts.push, hosts.pull = hosts.relay("near", "push"), hosts.relay("far", "pull")
    rng = random.Random(5)
    over = threading.Event()
    made = [0, 0]

    def produce(producer):
        while not over.is_set():
            near.put(item(made[producer], producer))
            made[producer] += 1
            if made[producer] % 50 == 0:
                time.sleep(0.002)

    producers = [threading.Thread(target=produce, args=(it,), daemon=True) for it in (0, 1)]
    next_of = [0, 0]
    wrong = []

    def consume():
        while not (
            over.is_set() and next_of == made and not any(it.is_alive() for it in producers)
        ):
            try:
                got = far.get(timeout=0.5)
            except Empty:
                continue
            producer, n = int(got["producer"]), int(got["n"])
            if n != next_of[producer]:
                wrong.append((producer, next_of[producer], n))
            next_of[producer] = n + 1

    consumer = threading.Thread(target=consume, daemon=True)
    for thread in (*producers, consumer):
        thread.start()
    victims = {"push": hosts.push, "pull": hosts.pull, "server": hosts.server}
    for _ in range(KILLS // 2):
        name = rng.choice(list(victims))
        time.sleep(rng.random() * (1.0 if name == "server" else 0.4))
        victims[name].kill()
        time.sleep(rng.random() * 0.1)
        victims[name].start()
    over.set()
    for thread in (*producers, consumer):
        thread.join(2 * WATCHDOG_S)
    assert not consumer.is_alive(), (made, next_of, wrong)
    assert wrong == []
    assert next_of == made
    figure(f"{KILLS // 2} kills of relays and server: {sum(made)} items, none lost, none twice")


def test_a_stopped_relay_loses_nothing(two):
    hosts, near, far = two
    for relay in (hosts.push, hosts.pull):
        near.put(item(0))
        far.get(timeout=WATCHDOG_S)
        relay.process.send_signal(signal.SIGSTOP)
        for n in range(8):
            near.put(item(n))
        time.sleep(0.3)
        relay.process.send_signal(signal.SIGCONT)
        assert [far.get(timeout=WATCHDOG_S)["n"] for _ in range(8)] == list(range(8))


def test_the_next_queue_of_the_name_has_an_origin_of_its_own(two):
    hosts, near, far = two
    near.put(item(0))
    near.shutdown()
    assert far.get(timeout=WATCHDOG_S)["n"] == 0
    hosts.push.says("is drained")
    near.unlink()
    again = hosts.queue("near", EXAMPLE)
    again.put(item(1))
    assert far.get(timeout=WATCHDOG_S)["n"] == 1


def test_the_queue_ends_with_the_last_of_so_many_origins(hosts):
    hosts.serve()
    far = hosts.queue("far", EXAMPLE)
    pull = hosts.relay("far", "pull", "--producers", "2")
    for number, host in enumerate(("near", "nearer")):
        queue = hosts.queue(host, EXAMPLE)
        push = hosts.relay(host, "push")
        queue.put(item(number))
        assert far.get(timeout=WATCHDOG_S)["n"] == number
        queue.put(item(7))
        queue.shutdown()
        push.says("is drained")
        assert far.get(timeout=WATCHDOG_S)["n"] == 7
        if number == 0:
            pull.kill()
            pull.start()
            with pytest.raises(Empty):
                far.get(timeout=1)
    with pytest.raises(ShutDown):
        far.get(timeout=WATCHDOG_S)


def test_another_host_takes_over_with_many_messages_under_way(hosts):
    hosts.serve()
    near, far = hosts.queue("near", EXAMPLE, 64), hosts.queue("far", EXAMPLE, 4)
    hosts.relay("near", "push", "--linger", "0ms")
    pull = hosts.relay("far", "pull")
    taken = []
    for n in range(60):
        near.put(item(n))
    for _ in range(10):
        taken.append(int(far.get(timeout=WATCHDOG_S)["n"]))
    assert pull.end() == 0
    with contextlib.suppress(Empty):
        while True:
            taken.append(int(far.get(timeout=0.2)["n"]))
    farther = hosts.queue("farther", EXAMPLE, 64)
    hosts.relay("farther", "pull", "--ack-wait", "2s")
    again = [int(farther.get(timeout=WATCHDOG_S)["n"])]
    while again[-1] < 59:
        again.append(int(farther.get(timeout=WATCHDOG_S)["n"]))
    # What was not acknowledged of the last messages comes on the other host.
    assert again == list(range(again[0], 60))
    assert taken == list(range(len(taken))) and again[0] <= len(taken)


def test_a_host_that_is_silent_for_too_long_loses_its_seat(hosts):
    hosts.serve()
    near, far = hosts.queue("near", EXAMPLE), hosts.queue("far", EXAMPLE)
    hosts.relay("near", "push")
    pull = hosts.relay("far", "pull", "--ack-wait", "2s")
    near.put(item(0))
    assert far.get(timeout=WATCHDOG_S)["n"] == 0
    time.sleep(0.5)
    pull.process.send_signal(signal.SIGSTOP)
    farther = hosts.queue("farther", EXAMPLE)
    hosts.relay("farther", "pull", "--ack-wait", "2s")
    for n in (1, 2):
        near.put(item(n))
        assert farther.get(timeout=WATCHDOG_S)["n"] == n
    pull.process.send_signal(signal.SIGCONT)
    assert "another host pulls this queue now" in pull.refused()
    near.put(item(3))
    assert farther.get(timeout=WATCHDOG_S)["n"] == 3


def test_an_item_that_is_late_does_not_stand_in_the_way_of_a_successor(hosts):
    server = hosts.serve()
    near, far = hosts.queue("near", EXAMPLE, 64), hosts.queue("far", EXAMPLE, 64)
    push = hosts.relay("near", "push", "--linger", "0ms")
    near.put(item(0))
    until(lambda: near.stats().counters.gets == 1, push.said())
    server.kill()
    with near.reserve() as late:
        late.write(item(1))
        for n in range(2, 30):
            near.put(item(n))
        until(lambda: near.qsize() < 28, "they are under way")
        push.kill()
    push.start()
    time.sleep(0.5)
    server.start()
    hosts.relay("far", "pull")
    got = sorted(int(far.get(timeout=WATCHDOG_S)["n"]) for _ in range(30))
    assert got == list(range(30))


def test_a_queue_that_drops_what_killed_its_takers_is_not_pushed(hosts):
    hosts.serve()
    hosts.queue("near", EXAMPLE, max_deliveries=2)
    assert "make it without max_deliveries" in hosts.relay("near", "push").refused()


# --- What is refused ------------------------------------------------------------------------------


def test_a_second_relay_of_a_kind_is_refused(two):
    hosts, near, far = two
    near.put(item(0))
    far.get(timeout=WATCHDOG_S)
    said = hosts.relay("near", "push").refused()
    assert "another relay on this host does `push steps` already" in said


def test_another_pull_host_waits_for_its_turn_and_takes_over(two):
    hosts, near, far = two
    near.put(item(0))
    assert far.get(timeout=WATCHDOG_S)["n"] == 0
    farther = hosts.queue("farther", EXAMPLE)
    hosts.relay("farther", "pull").says('the host "far" pulls this queue')
    near.put(item(1))
    assert far.get(timeout=WATCHDOG_S)["n"] == 1
    assert hosts.pull.end() == 0
    near.put(item(2))
    assert farther.get(timeout=WATCHDOG_S)["n"] == 2


def test_other_items_are_shown_beside_those_of_the_stream(two):
    hosts, near, far = two
    near.put(item(0))
    far.get(timeout=WATCHDOG_S)
    hosts.queue("other", {**EXAMPLE, "obs": np.zeros((12, 8), np.uint8)})
    said = hosts.relay("other", "pull").refused()
    assert "has other items than the queue here" in said
    assert "(12, 8)" in said and "(12, 7)" in said


def test_names_that_would_have_the_same_stream_are_told_apart(hosts):
    hosts.serve()
    first = hosts.queue("near", EXAMPLE, name="a.b")
    hosts.relay("near", "push", name="a.b")
    first.put(item(0))
    until(lambda: first.stats().counters.gets == 1, "the stream is made")
    hosts.queue("near", EXAMPLE, name="a_b")
    said = hosts.relay("near", "pull", name="a_b").refused()
    assert 'is that of the queue "a.b", and "a_b" would have the same' in said


def test_a_foreign_message_is_refused_and_the_relay_lives(two):
    hosts, near, far = two
    near.put(item(0))
    assert far.get(timeout=WATCHDOG_S)["n"] == 0
    hosts.server.say("PUB treequeues.steps 5", "hello")
    hosts.pull.says("a message is refused: no push relay has made it")
    headers = "".join(
        f"{line}\r\n"
        for line in (
            "NATS/1.0",
            f"Treequeues-Origin: {'ab' * 16}",
            "Treequeues-Number: 4",
            "Treequeues-After: 4",
            "",
        )
    )
    total = len(headers) + 5
    hosts.server.say(f"HPUB treequeues.steps {len(headers)} {total}", f"{headers}hello")
    until(lambda: hosts.pull.said().count("a message is refused") == 2, hosts.pull.said())
    near.put(item(1))
    assert far.get(timeout=WATCHDOG_S)["n"] == 1
    assert hosts.pull.end() == 0


def test_a_server_without_jetstream_is_refused(hosts):
    hosts.serve(jetstream=False)
    hosts.queue("near", EXAMPLE)
    assert "the server has no JetStream: start it with" in hosts.relay("near", "push").refused()


def test_credentials_that_are_refused_end_the_relay(hosts):
    hosts.serve("--user", "learner", "--pass", "secret")
    near = hosts.queue("near", EXAMPLE)
    assert "refuses these credentials" in hosts.relay("near", "push").refused()
    right = hosts.server.url.replace("//", "//learner:secret@")
    relay = hosts.relay("near", "push", server=right)
    near.put(item(0))
    until(lambda: near.stats().counters.gets == 1, relay.said())
    assert "secret" not in relay.said()


def test_an_item_larger_than_a_message_is_refused_with_the_way_out(hosts):
    hosts.serve()
    hosts.queue("near", {"obs": np.zeros(3_000_000, np.uint8)}, 2)
    said = hosts.relay("near", "push").refused()
    assert "an item has 3000000 bytes" in said and "raise `max_payload`" in said


def test_streams_that_are_otherwise_than_asked_for_are_shown_beside_that(two):
    hosts, near, far = two
    near.put(item(0))
    far.get(timeout=WATCHDOG_S)
    assert hosts.push.end() == 0
    said = hosts.relay("near", "push", "--max-bytes", "5MiB").refused()
    assert "--max-bytes: wanted 5242880, it has 1073741824" in said

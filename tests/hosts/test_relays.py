"""Queues across hosts: relays, a real NATS server, and kills of all three."""

import os
import random
import threading
import time
from queue import Empty, Full

import numpy as np
import pytest
from helpers import WATCHDOG_S
from servers import Hosts, until

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
    producer = threading.Thread(target=lambda: [near.put(item(n)) for n in range(500)])
    before = time.time()
    producer.start()
    for n in range(500):
        got, info = far.get(timeout=WATCHDOG_S, info=True)
        assert got["n"] == n
        np.testing.assert_array_equal(got["obs"], item(n)["obs"])
        assert (info.host, info.producer_pid, info.delivery_count) == ("near", os.getpid(), 1)
        assert before <= info.put_time <= time.time()
    producer.join()
    assert f"host='{'near'}'" in repr(info)
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
    with pytest.raises(Full):
        while True:
            near.put(item(put), timeout=2)
            put += 1
    push.says("the stream is full")
    far = hosts.queue("far", EXAMPLE)
    hosts.relay("far", "pull")
    assert [far.get(timeout=WATCHDOG_S)["n"] for _ in range(put)] == list(range(put))


def test_kills_of_relays_and_server_lose_nothing_repeat_nothing_and_keep_the_order(two, figure):
    hosts, near, far = two
    rng = random.Random(5)
    over = threading.Event()
    made = [0, 0]

    def produce(producer):
        while not over.is_set():
            near.put(item(made[producer], producer))
            made[producer] += 1
            if made[producer] % 50 == 0:
                time.sleep(0.002)

    producers = [threading.Thread(target=produce, args=(it,)) for it in (0, 1)]
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

    consumer = threading.Thread(target=consume)
    for thread in (*producers, consumer):
        thread.start()
    victims = {"push": hosts.push, "pull": hosts.pull, "server": hosts.server}
    for _ in range(KILLS):
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
    figure(f"{KILLS} kills of relays and server: {sum(made)} items, none lost, none twice")


def test_a_stopped_relay_loses_nothing(two):
    hosts, near, far = two
    for relay in (hosts.push, hosts.pull):
        near.put(item(0))
        far.get(timeout=WATCHDOG_S)
        relay.process.send_signal(19)
        for n in range(8):
            near.put(item(n))
        time.sleep(0.3)
        relay.process.send_signal(18)
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
    hosts.queue("near", EXAMPLE, name="a.b")
    hosts.relay("near", "push", name="a.b")
    hosts.queue("near", EXAMPLE, name="a_b")
    time.sleep(1)
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
    hosts.queue("near", EXAMPLE)
    assert "refuses these credentials" in hosts.relay("near", "push").refused()
    right = hosts.server.url.replace("//", "//learner:secret@")
    relay = hosts.relay("near", "push", server=right)
    time.sleep(0.5)
    assert relay.process.poll() is None, relay.said()


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

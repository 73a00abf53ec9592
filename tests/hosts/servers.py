"""NATS servers and relays of tests, all on this machine.

A host is a folder of named queues. A server stores in a temporary folder and listens on a free
port of the loopback device.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sysconfig
import time
from pathlib import Path

from helpers import WATCHDOG_S, die_with_parent, rust_program

from treequeues import TreeQueue

NATS_SERVER = Path(sysconfig.get_path("scripts")) / "nats-server"
ADDRESS = "127.0.0.1"


def free_port():
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, folder, *arguments, jetstream=True):
        self.port = free_port()
        self.url = f"nats://{ADDRESS}:{self.port}"
        self._log = folder / "server.log"
        self._command = [NATS_SERVER, "--addr", ADDRESS, "--port", str(self.port), *arguments]
        if jetstream:
            self._command += ["--jetstream", "--store_dir", folder / "store"]
        self.process = None

    def start(self):
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, stdout=log, stderr=log, preexec_fn=die_with_parent
            )
        until(self._answers, "the server answers")

    def kill(self):
        """As the kernel does it: what is not on disk is lost. It may be started again."""
        self.process.kill()
        self.process.wait(WATCHDOG_S)

    def say(self, *lines):
        """What a client of one's own says."""
        with socket.create_connection((ADDRESS, self.port)) as client:
            lines = ('CONNECT {"headers":true,"verbose":false}', *lines, "PING")
            client.sendall("".join(f"{line}\r\n" for line in lines).encode())
            said = b""
            while b"PONG" not in said:
                more = client.recv(4096)
                assert more and b"-ERR" not in more, said + more
                said += more

    def _answers(self):
        with contextlib.suppress(OSError), socket.create_connection((ADDRESS, self.port)) as client:
            # Another server may have the port.
            return client.recv(4) == b"INFO" and self.process.poll() is None
        return False


class Relay:
    """`treequeues-relay push` or `pull` on a host."""

    def __init__(self, host, *arguments):
        self._host = host
        self._log = host / f"{arguments[0]}.log"
        self._command = [rust_program("treequeues-relay"), *arguments, "--host", host.name]
        self.process = None
        self.start()

    def start(self):
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                env={**os.environ, "TREEQUEUES_DIR": str(self._host)},
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def kill(self):
        self.process.kill()
        self.process.wait(WATCHDOG_S)

    def end(self):
        """By SIGTERM: its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WATCHDOG_S)

    def refused(self):
        """What it said before it ended by itself, as refused."""
        assert self.process.wait(WATCHDOG_S) == 1, self.said()
        return self.said()

    def said(self):
        return self._log.read_text()

    def says(self, what):
        until(lambda: what in self.said(), f"it says {what!r}: {self.said()}")


class Hosts:
    """A server, hosts, and the relays on them, all of which end with the test."""

    def __init__(self, folder):
        self._folder = folder
        self._ending = contextlib.ExitStack()
        self.server = None
        # A queue lives as long as somebody has it.
        self._queues = []

    def serve(self, *arguments, start=True, **options):
        self.server = Server(self._folder, *arguments, **options)
        if start:
            self.server.start()
        self._ending.callback(lambda: self.server.process and self.server.kill())
        return self.server

    def host(self, name):
        path = self._folder / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def relay(self, host, role, *arguments, name="steps", server=None):
        relay = Relay(
            self.host(host), role, name, "--server", server or self.server.url, *arguments
        )
        self._ending.callback(relay.kill)
        return relay

    def queue(self, host, example, maxsize=16, name="steps", **options):
        """The queue of that name on a host, as this process has it."""
        before = os.environ.get("TREEQUEUES_DIR")
        os.environ["TREEQUEUES_DIR"] = str(self.host(host))
        try:
            queue = TreeQueue.open(name, example, maxsize, **options)
        finally:
            if before is None:
                del os.environ["TREEQUEUES_DIR"]
            else:
                os.environ["TREEQUEUES_DIR"] = before
        self._queues.append(queue)
        return queue

    def end(self):
        self._ending.close()


def until(is_so, what, seconds=WATCHDOG_S):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.01)

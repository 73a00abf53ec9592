"""A service that is started as root, makes its queues, and then gives up its rights.

A queue without a name goes on as before. The file of a named one is root's: the service itself goes
on, and whoever cannot open or remove the file says why.
"""

import os
import subprocess
import sys

import pytest
from helpers import WATCHDOG_S

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")

# All that it needs is loaded before: the user that it becomes may be able to read nothing.
SERVICE = """
import errno, os, pickle, warnings
import numpy as np
from treequeues import TreeQueue

def put(queue):
    queue.put(np.ones(2), timeout=60)

def refused(call, kind, *words):
    try:
        call()
    except kind as error:
        assert error.errno == errno.EACCES, error
        assert all(word in str(error) for word in words), error
    else:
        raise AssertionError("it was not refused")

def fork(call):
    pid = os.fork()
    if pid == 0:
        try:
            call()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

def unpickle_elsewhere(handle):
    # As a process that has nothing of the queue's: it inherited the objects, and drops them.
    global named
    named = None
    pickle.loads(handle)

def fork_is_refused(queue):
    fork(lambda: refused(lambda: put(queue), PermissionError,
                         "belongs to user 0", "runs as user 65534", "make it after"))

anonymous = TreeQueue(np.zeros(2), 8)
named = TreeQueue(np.zeros(2), 8, name="a")
named.put(np.ones(2))
folder = os.environ["TREEQUEUES_DIR"]
os.chmod(os.path.dirname(folder), 0o755)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
fork(lambda: put(anonymous))
assert anonymous.get(timeout=60).sum() == 2
named.put(np.ones(2))
assert named.get(timeout=60).sum() == 2
assert named.stats().participants == 1
fork_is_refused(named)
# A process that changed its user cannot be looked into, not even by its own kind.
handle = pickle.dumps(named)
fork(lambda: refused(lambda: unpickle_elsewhere(handle), ConnectionError, "setuid", 'queue "a"'))
refused(named.unlink, PermissionError, folder + "/a is still there", "remove it as that user")
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    named.close()
assert len(said) == 1 and folder + "/a is still there" in str(said[0].message), said
print("done")
"""


def test_a_service_that_gives_up_its_rights_goes_on_or_says_why_not(queue_folder):
    folder = queue_folder / "root"
    done = subprocess.run(
        [sys.executable, "-c", SERVICE],
        env=dict(os.environ, TREEQUEUES_DIR=str(folder)),
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert os.listdir(folder) == ["a"]

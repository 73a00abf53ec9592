"""One round of one trial on one queue, in a program of its own. Started by `benchmarks.kills`.

    python -m benchmarks.kills.round PEER TRIAL KILLS SEED SECONDS FOLDER

The finding goes into FOLDER as JSON, so that what a queue prints is not in its way.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.kills import leftovers, trials
from benchmarks.kills.peers import LARGE, Peer, peer_of
from benchmarks.kills.trials import Finding, Order
from benchmarks.tied import die_with_parent

VERSION = "version"


def main() -> None:
    name, trial_name, kills, seed, seconds, folder = sys.argv[1:]
    die_with_parent()
    place = Path(folder)
    trial = next((trial for trial in trials.TRIALS if trial.name == trial_name), None)
    frame = trial.frame if trial else LARGE
    peer, fresh = peer_of(name, frame), peer_of(name, frame)
    if trial_name == VERSION:
        finding = Finding(None, peer.version())
    elif (failure := _opened(*([peer] if trial is None else [peer, fresh]))) is not None:
        finding = failure
    elif trial is None:
        assert trial_name == leftovers.NAME
        leftovers.work_until_killed(peer, place)
        return
    else:
        until = time.monotonic() + float(seconds)
        finding = trials.run(trial, Order(peer, fresh, place, int(kills), int(seed), until))
    text = json.dumps(asdict(finding))
    (place / "unfinished.json").write_text(text)
    (place / "unfinished.json").rename(place / "finding.json")
    # No clean-up by a queue that may hang: the whole group is killed now.
    sys.stdout.flush()
    os._exit(0)


def _opened(*peers: Peer) -> Finding | None:
    try:
        for peer in peers:
            peer.open()
    except Exception as error:  # Not installed, or it does not work: that is the finding.
        return Finding(None, f"{type(error).__name__}: {error}"[:200])
    return None


if __name__ == "__main__":
    main()

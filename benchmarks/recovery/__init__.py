"""Recovery time: from the kill of who holds what a peer waits for until that peer goes on.

V1. A kill hits a random moment of the sleepers' sleep: they have slept for `SETTLED` times 100 ms
    at least, and for a uniformly random part of 100 ms more.
V2. The clock begins right before `kill`, so the kernel's own work on a death is part of a figure.
    It ends in the peer, when its call has returned; of several peers the last one counts.
V3. Meanwhile each scene times bare waits of 100 ms, which go on in the same places and load. What
    the machine adds to a sleep is in both.
"""

"""The same kill test for every queue: what happens to the living when a process dies or stops.

Nobody's word is taken, ours included. One lasting producer and one lasting consumer work all the
time. Victims of one kind are started beside them and killed, or stopped, one after the other, each
at a random moment of its work. Everybody keeps receipts outside of the queue: a put is written down
when it has returned, a get when its item was looked at.

K1. After every kill the lasting ones must pass on more items than the queue holds, within
    `PATIENCE_S`, or the queue hangs. That ends the round.
K2. Every put with a receipt must come out, unless a killed consumer may have taken it to its grave:
    one item a kill is allowed for that, which favours those that lose.
K3. Nothing comes out twice, and nothing that nobody put. (The put that a kill cut off between its
    return and its receipt may come.)
K4. Every element of every array names the producer and the number, so torn and mixed items show.
K5. One producer's numbers come to a consumer in order. One exception a kill of a consumer: what was
    taken back from it comes late.
K6. In the end as many items fit without waiting as fitted into a new queue.
K7. A queue made for one producer and one consumer is not tested with more: there a victim has
    nobody of its kind beside it, and the next one takes its place.
K8. Each round is a program of its own, in a session and process group of its own, under a watchdog.
    Nothing of it survives; what a queue's own helpers leave is found by a mark in the environment.
K9. Moments are drawn from a seed that the record names. What a kill hits still differs from run to
    run: the machine draws as well.

Other rows hold what needs no death: turns, views, failed puts, waiting. None of the other queues
promises to survive a kill; the rows say what that means in practice.
"""

"""The queues that are compared, in the order of the tables."""

from benchmarks.contenders.base import Contender
from benchmarks.contenders.foreign import ArrayQueues, Dejaq, FasterFifo, TorchMultiprocessing
from benchmarks.contenders.iceoryx import Iceoryx2
from benchmarks.contenders.ours import (
    TreeQueues,
    TreeQueuesBatches,
    TreeQueuesBorrow,
    TreeQueuesBothWays,
    TreeQueuesOut,
    TreeQueuesStack,
)
from benchmarks.contenders.standard import (
    MultiprocessingPipe,
    MultiprocessingQueue,
    TheCheckAlone,
)

CONTENDERS: list[Contender] = [
    MultiprocessingQueue(),
    MultiprocessingPipe(),
    FasterFifo(),
    Dejaq(),
    ArrayQueues(),
    TorchMultiprocessing(),
    Iceoryx2(),
    TreeQueues(),
    TreeQueuesOut(),
    TreeQueuesStack(),
    TreeQueuesBorrow(),
    TreeQueuesBatches(),
    TreeQueuesBothWays(),
    TheCheckAlone(),
]

"""Benchmarks of treequeues beside other queues. `python -m benchmarks` runs them."""

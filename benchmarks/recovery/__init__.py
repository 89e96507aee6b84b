"""Benchmark of recovery: time until a worker is ready, from an empty disk and with its local store; see `__main__`."""

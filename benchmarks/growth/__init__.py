"""Benchmark of growth: the cost of more customers, more partitions and longer histories; see `__main__`."""

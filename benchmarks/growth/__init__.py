"""Growth: what more customers, more partitions and longer histories cost; see `__main__`."""

"""Recovery: how long a worker takes until it is ready, from nothing and with its local store; see `__main__`."""

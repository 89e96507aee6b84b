"""Benchmark of latency on a real Apache Kafka, from an event to its score and its alert; see `__main__`."""

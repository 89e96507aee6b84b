"""Benchmark of throughput on a real Apache Kafka, compared with alternatives; see `__main__`."""

"""Throughput on a real Apache Kafka, this product beside what else one could use; see `__main__`."""

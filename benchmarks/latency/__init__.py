"""Latency on a real Apache Kafka: from an event to its score and to its alert; see `__main__`."""

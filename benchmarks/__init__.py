"""Measurements of throughput, latency, recovery, growth and quality; each prints the tables of the documentation."""

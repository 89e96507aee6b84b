"""Benchmarks of model quality on simulated customers, compared with their true hazards."""

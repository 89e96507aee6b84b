"""Benchmark of the console: startup time, response times and memory with many customers and alerts."""

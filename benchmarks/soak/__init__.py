"""Run all processes for hours and look for drift: memory, descriptors, threads, disk, latency and lag."""

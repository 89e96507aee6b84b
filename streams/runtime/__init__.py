"""The process itself: CPUs, garbage collection, background tasks, and how it ends.

background_tasks  tasks that never die silently: retried, counted, and shown in the health checks
cpu_affinity      the CPU that a worker's threads share
cpus              the CPUs that this process may use
gc_tuning         thresholds of the cycle collector
process_end       exit within 9 s of SIGTERM, whatever threads and clients wait for
search_paths      search paths of a child process
"""

from streams.runtime.cpu_affinity import Affinity
from streams.runtime.cpus import allowed, several, use
from streams.runtime.gc_tuning import collect_rarely

__all__ = ["Affinity", "allowed", "collect_rarely", "several", "use"]

"""Administration of consumer groups.

    lag         lag of a group: committed offsets, end offsets, owners, and the age of waiting records
    lag_rules   Burrow's rules: the state of a partition from the offsets of a time window
    reset       reset of a stopped group: clears its changelog, positions and local stores

`reset` is not imported here, so that commands which only read the lag do not load the engine.
"""

from streams.admin.lag import PartitionLag, measure, watch
from streams.admin.lag_rules import Verdict, verdict

__all__ = ["PartitionLag", "Verdict", "measure", "verdict", "watch"]

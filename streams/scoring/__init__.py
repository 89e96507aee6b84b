"""Score customers from the events topic: the processor that the engine runs for each partition.

    event_processor    process the events of one partition; bounds and fault isolation
    event_router       decode records; reject, forward or accept each one
    fault              decide what is at fault when an event cannot be applied
    fold               apply events to the pure fold and turn its effects into outputs
    partition_state    the state in a partition's position record: version and churn definition
    processor_context  what the partitions of a worker share
    explain_process    render scores in a separate process
    explain_protocol   the requests and replies of that process
    dead_letters       records of the dead-letter topic
    fold_metrics       counts of a batch's effects

Import from the modules. The package itself imports nothing, so that the explain process and commands start quickly.
"""

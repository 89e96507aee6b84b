"""Process the partitions of the events topic exactly once: it moves events and knows nothing about customers.

    worker             run the Faust app until a signal
    contract           the interface between engine and product
    faust_app          the Faust app and its consumer; all private parts of Faust
    group_assignor     the group's assignor, on the network
    assignment         which member gets which partition
    fetch_credits      how much is fetched ahead of processing
    ownership          assigned, owned, running and lost partitions
    takeover           fence, recover and create a partition's runner
    partition_runner   the steps of a batch
    executor           one computation at a time, in a thread
    transactions       the fenced producer of a partition
    record_batch       encoded Kafka record batches
    position           the position record
    store              the local store of a partition
    store_directories  where local stores are
    deadline_index     the earliest deadlines, in memory
    recovery           from the changelog into local stores
    changelog_reader   how recovery reads a changelog
    progress           figures of a partition
    batch_metrics      counts of a batch
    latency            latency histograms

Import from the modules. The package itself imports nothing, so that commands do not load Faust.
"""

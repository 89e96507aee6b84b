"""Process the partitions of the events topic exactly once, independent of what the events mean.

    worker             run the Faust app until a signal
    contract           the interface between engine and product
    faust_app          the Faust app and its consumer; with consumer_thread, all use of Faust's private API
    consumer_thread    the thread of the group's consumer
    input_topic        whether the input topic is the one that the positions belong to
    group_assignor     the assignor in the group protocol
    assignment         which member gets which partition
    fetch_credits      how much is fetched ahead of processing
    ownership          assigned, owned, running and lost partitions
    takeover           fence, recover and create a partition's runner
    partition_runner   the steps of a batch
    executor           one computation at a time, in a thread
    transactions       the fenced producer of a partition: sends and commits a batch
    record_batch       encoded Kafka record batches
    position           the position record
    store              the local store of a partition
    store_directories  directories and locks of local stores
    deadline_index     the earliest deadlines, in memory
    recovery           rebuild local stores from the changelog
    changelog_reader   read a changelog forwards, or newest values first
    progress           current figures of a partition, for metrics
    batch_metrics      counts of a batch
    latency            latency histograms

Import from the modules. The package itself imports nothing, so that commands do not load Faust.
"""

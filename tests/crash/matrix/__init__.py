"""The fault matrix: real workers and trainers on a real Kafka, with injected faults, compared with an exact oracle.

    log        the simulated events, the churn definition, the fixed model
    harm       faults in the published log: broken, repeated and shuffled records, wrong clocks
    stores     faults of local stores between two starts
    feed       the publisher, which always has events left until the last fault is injected
    scene      one run: its processes, its broker, the injected faults and their times
    readiness  /readyz of every process during the run
    rows       the matrix
    evidence   the contents of all topics after the run
    verdict    expected versus found: lost, double, extra, and the longest outage
    table      the printed table

`python -m tests.crash.matrix --help`
"""

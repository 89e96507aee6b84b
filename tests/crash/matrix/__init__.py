"""The fault matrix: real workers and trainers on a real Kafka, harmed while they work, against an exact oracle.

    log        the simulated events, the churn definition, the fixed model
    harm       what the publisher does to the log: breaks, repeats, shuffles, sets clocks wrong
    stores     what becomes of local stores between two starts
    feed       the publisher: never runs dry before the last harm is done
    scene      one run: its processes, its broker, what was done to them and when
    readiness  what every process answers to /readyz meanwhile
    rows       the matrix
    evidence   everything that stands in the topics afterwards
    verdict    expected against found: lost, double, extra, and the longest outage
    table      what is printed

`python -m tests.crash.matrix --help`
"""

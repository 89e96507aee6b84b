"""The streaming application: consumes events from Kafka, runs the models of `models`, and publishes the results.

Packages, lowest floor first. What is known about customers is in `models`, which uses no Kafka, clock or I/O.

    settings, errors, logs, topics, health, failpoints    used by all packages

    kafka         clients: topic readers, group consumer, partitioner, aiokafka internals
    runtime       CPU affinity and garbage collection of a process
    devbroker     embedded broker for the demo and for tests

    engine        exactly-once processing of partitions: transactions, recovery, ownership, local store
    scoring       the processor of events, dead letters, and the rendering of scores in a separate process

    training      the trainer: learns labels and publishes model snapshots
    notify        delivery of alerts to webhooks
    admin         lag and reset of consumer groups

    monitoring    health endpoints and Prometheus metrics

    rendering     text and plots, shared by the packages below
    console       web console
    demo          `churn-signals demo`
    cli           command line

Path of a record:

    publishers ──► customer-events ◄──────────────────────────────┐ misrouted: forwarded once, with headers
                         │ read committed, one partition per batch │
                         ▼                                         │
                 worker: `streams.scoring.event_processor` ────────┤
                   decode ► apply ► features ► probability         ├──► customer-events.dlq   rejected, byte for byte
                         ▲            │      ► decision ► alert    ├──► churn-alerts          alert events
                         │            │                            ├──► churn-scores          latest score per customer
                         │            │                            ├──► churn-metrics         retention aggregates
                         │            │                            └──► churn-labels          matured examples
                         │            └──► profiles, position ──► changelog ──► RocksDB              │ one partition
                         │ each new snapshot                                                         ▼
                    churn-model ◄──────────────────────────────────── trainer: `streams.training.trainer`
                                                                          └──► churn-metrics  model quality

    churn-alerts ──► notifier: `streams.notify` ──► webhooks
                          └──► churn-alerts.dlq   undelivered, byte for byte

A worker writes all records of a batch in one transaction (`streams.engine.partition_runner`). docs/architecture.md
explains why no event is lost or applied twice.
"""

import os

# Set before numpy is imported: its linear algebra would start one thread per core, which wait for each other in a busy
# loop. With all threads of a worker on one core (`streams.runtime.cpu_affinity`), a fit of 10 ms would take 400 ms.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

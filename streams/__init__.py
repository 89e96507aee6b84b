"""How events move: Kafka, Faust, time and failure. What is believed about customers is in `models`.

    publishers ──► customer-events ◄─────────────────────────────┐ wrongly keyed: once, with a mark
                         │ read committed, batches of a partition │
                         ▼                                        │
                 worker: EventProcessor (`streams.scoring.event_processor`) ────┤
                   decode ► apply ► features ► probability        ├──► customer-events.dlq   refused, byte for byte
                         ▲            │      ► decision ► alert   ├──► churn-alerts          changes of alerts
                         │            │                           ├──► churn-scores          newest score, by customer
                         │            │                           ├──► churn-metrics         sums of retention
                         │            │                           └──► churn-labels          matured examples
                         │            └──► profiles, position ──► changelog ──► RocksDB         │ one partition
                         │ every newer snapshot                                                 ▼
                    churn-model ◄─────────────────────────────── trainer: ModelLearner (`streams.training.learner`)
                                                                        └──► churn-metrics         quality

Everything that a worker writes for a batch is one transaction (`streams.engine.partition_runner`). Topics are declared in
`streams.topics`, settings in `streams.settings`; docs/architecture.md argues why nothing is lost or counted twice.
"""

import os

# Before numpy is loaded. Its linear algebra would start a thread for every processor, which spin while they wait for
# each other; with all threads of a worker on one processor (`streams.runtime.cpu_affinity`) a fit of 10 ms then takes 400.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

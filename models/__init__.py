"""Everything that the product knows about customers, events and churn: pure computation, without Kafka, clock or I/O.

Package `streams` moves events and stores state; `models` defines their meaning. The packages form layers. A package
imports only from lower layers. From the lowest layer up:

1. `events`: turns a record into an event or a rejection. `metrics`: quality of predicted probabilities.
2. `profile`: the stored state of a customer, and how events change it. `simulation`: customers with known hazards.
3. `definition`: churn.toml, with churn, goals and alerts. `features`: the inputs that the models get from a profile.
   `retention`: churn and retention accounting.
4. `learning`: the models, from the prior to champion and challenger. `explanations`: the reasons for a score, in words.
   `experience`: CSAT, NPS, CES, barriers and goals. `value`: customer lifetime value.
5. `labels`: snapshots that wait for their label, and training examples. `alerts`: when an alert opens and resolves.
6. `outputs`: the records that are published.
7. `pipeline`: the fold of one partition, which uses the packages of the lower layers.
8. `backtesting`: the same fold over a file, and the evaluation of its predictions.

`duration` parses and formats durations and times for all packages.

Processing of an event
    1. `events.event.decode` turns the record into an `Event`, or rejects it with a reason.
    2. `profile.apply` merges the event into its customer's profile. A duplicate changes nothing.
    3. At a scoring point, `features` computes the customer's features and `learning` their churn probability.
    4. `explanations` gives the reasons, `value` the revenue at risk, and `alerts` decides whether an alert changes.
    5. `outputs` encodes the score and the alert for publishing.
    6. At a snapshot, `labels` freezes the features. After horizon and grace, the snapshot becomes a training example,
       and `learning` learns from it.
    7. `retention`, `value` and `experience` add the event and the matured label to the sums of the partition.
"""

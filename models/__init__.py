"""Everything that the product knows about customers, events and churn: pure computation, without Kafka, clock or I/O.

Package `streams` moves events and stores state; `models` decides what they mean. The packages form floors, and a package
imports only from lower floors. From the lowest floor up:

1. `events`: a record becomes an event or a rejection. `metrics`: quality of probabilities.
2. `profile`: what is stored about a customer, and how each event changes it. `simulation`: customers with known hazards.
3. `definition`: churn.toml, that is, what churn, a goal and an alert are. `explanations`: reasons for a score, in words.
4. `features`: the numbers that a model sees of a profile. `retention`: churn and retention accounting.
5. `learning`: the models, from the prior to champion and challenger. `experience`: CSAT, NPS, CES, barriers and goals.
   `value`: customer lifetime value.
6. `labels`: snapshots that wait for their label, and the training examples that they become.
7. `alerts`: when an alert opens, escalates and resolves.
8. `outputs`: the records that are published.
9. `pipeline`: the fold of one partition, which calls all of the above. `backtesting`: the same fold over a file.

The life of an event
    1. `events.event.decode` turns the record into an `Event`, or rejects it with a reason.
    2. `profile.apply` merges the event into its customer's profile. A duplicate changes nothing.
    3. At a scoring point, `features` computes the customer's numbers from the profile, and `learning` their churn
       probability.
    4. `explanations` gives the reasons, `value` the revenue at risk, and `alerts` decides whether an alert opens,
       escalates or resolves.
    5. `outputs` encodes the score and the alert for publishing.
    6. At a snapshot, `labels` freezes the features. When horizon and grace are over, the snapshot becomes a training
       example, from which `learning` learns.
    7. `retention`, `experience` and `value` add the event and the matured label to the partition's sums.

`duration` parses and formats durations and times for all packages.
"""

"""The product on one machine for one person: everything is started, fed, shown, and stopped again.

    source ── feed ──► customer-events ──► worker ──► churn-alerts ───┐
    (simulator, file)       Kafka            │                        ├── watch ──► screen
                                             ▼                        │
                                       churn-labels ──► trainer ──► churn-metrics

    place        the directory, its lock, the settings, the broker; everything is removed in the end
    source       events in the order of their time, and where the history ends
    feed         history at full speed, then so many days a second
    children     worker, trainer and console as processes that end with the demo, however it ends
    watch        alerts and figures, read from Kafka as any consumer would
    tally        which alerts are open, what became of the others, and which one to show next
    screen       alerts as they come, above a line of figures; plain lines when piped
    show         all of it together

The parent feeds and shows, it computes nothing: what is seen was made by `churn-signals worker` and `trainer` as they
are.
"""

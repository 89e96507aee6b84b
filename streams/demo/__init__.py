"""The demo: runs the whole product on one machine, publishes events, and shows alerts until Ctrl-C.

    source ── feed ──► customer-events ──► worker ──► churn-alerts ───┐
    (simulator, file)       Kafka            │                        ├── watch ──► screen
                                             ▼                        │
                                       churn-labels ──► trainer ──► churn-metrics

    workspace        the directory, its lock, the settings and the broker; removed at the end
    source           events in order of event time, and the end of the history
    feed             publishes the history at full speed, then a number of days per second
    processes        worker, trainer and console as child processes, which end with the demo
    child            the entry point of these child processes
    watch            reads alerts and figures from Kafka, as any consumer could
    alert_counts     counts open and ended alerts, and selects the alert to show next
    definition_text  the churn definition in one sentence
    screen           alerts above a line of figures; plain lines when piped
    runner           starts, connects and stops all of it

The demo process only publishes and shows; unmodified `churn-signals worker` and `trainer` processes compute.
Tested by tests/streams/demo and tests/broker/test_demo.py.
"""

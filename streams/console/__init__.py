"""The console: web pages for those who act on alerts, run the pipeline, or doubt the model.

    churn-alerts ──┐                        ┌── pages (HTML, SVG) ──► browser
    churn-scores ──┤── reading ──► store ───┤
    churn-metrics ─┤              (SQLite)  └── live (server-sent events: "look again")
    churn-model ───┤
    dead letters ──┘      handling ──► customer-events (acknowledge, snooze, dismiss; nothing else)

It reads output topics only, so it works for any number of workers, and several consoles may run at once.

    store      the newest score of each customer, the alerts and their changes, in a temporary SQLite file
    reading    follows the topics, looks at lag, says when the broker is away
    letters    dead letters by reason, without their contents
    handling   the event that says what a person did with an alert
    insight    what follows from a score or a snapshot: what would lower it, what tells most
    charts     figures as SVG paths
    guard      who may ask: host, token, cross-site requests, content security policy
    server     routes and pages
"""

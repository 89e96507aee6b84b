"""The console: web pages for people who act on alerts, operate the pipeline, or evaluate the model.

    churn-alerts ──┐                                    ┌── pages (HTML, SVG) ──► browser
    churn-scores ──┤── topic_follower ──► database ─────┤
    churn-metrics ─┤                      (SQLite)      └── live (server-sent events: "reload")
    churn-model ───┤
    dead letters ──┘      actions ──► customer-events (acknowledge, snooze, dismiss; nothing else)

It reads only output topics, so it works with any number of workers, and several consoles can run at once.

    server               routes, pages and the live stream
    filters              template filters: percentages, numbers, times
    database             the data of all pages: newest scores, alerts and their changes, in a temporary SQLite file
    topic_follower       follows the topics, samples the lag, and reports a missing broker
    dead_letter_samples  dead letters by reason, without their contents
    actions              the event that a person's action on an alert publishes
    model_insights       counterfactual probabilities and influential features
    charts               SVG paths
    security             access control: host, token, cross-site requests, content security policy
    address              default port and URL

Tested by tests/streams/console, tests/security/test_console.py and tests/browser.
"""

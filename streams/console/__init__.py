"""The console: web pages for people who act on alerts, operate the pipeline, or evaluate the model.

    churn-alerts ──┐                                    ┌── pages (HTML, SVG) ──► browser
    churn-scores ──┤── topic_follower ──► database ─────┤
    churn-metrics ─┤                      (SQLite)      └── live (server-sent events: "reload")
    churn-model ───┤
    dead letters ──┘      actions ──► customer-events (acknowledge, snooze, dismiss; nothing else)

It reads only output topics, so it works with any number of workers, and several consoles can run at once.

    server               routes, pages, health and metrics
    live_streams         open pages that listen for changes
    forms                posted forms, and the page to return to
    filters              template filters: percentages, numbers, times
    database             the data of all pages: newest scores, alerts and their changes, in a temporary SQLite file
    topic_follower       follows the topics, samples the lag, and reports why no new data arrives
    published_records    decodes the records of the topics, and refuses those that no worker wrote
    dead_letter_samples  dead letters by reason, without their contents
    actions              the event that a person's action on an alert publishes
    model_insights       counterfactual probabilities and influential features
    charts               SVG paths
    security             access control: host, token, cross-site requests, content security policy
    login_attempts       limits failed logins
    token_strength       estimates how hard a token is to guess
    trusted_proxies      address and protocol of a client behind a reverse proxy
    console_metrics      samples for `/metrics`
    address              default port and URL

Tested by tests/streams/console, tests/security/test_console.py and tests/browser.
"""

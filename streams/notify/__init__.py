"""`churn-signals notify`: alert events to webhooks, each at least once, in order for each customer.

routes.py ── which alerts, where to, how often (notify.toml)
body.py ── what is posted, if it is not the event itself
alert_event.py ── a record of churn-alerts as a CloudEvent over HTTP
signature.py ── who it is from (Standard Webhooks)
sender.py ── one attempt and what came of it
window.py ── what is taken of a partition and not done yet
courier.py ── one route: reads, delivers, tries again, gives up, commits
outcomes.py ── what may come of it
notifier.py ── all routes, and the topic for what one did not take
redelivery.py ── what is in that topic, once more
"""

"""`churn-signals notify`: delivers alert events to webhooks, each at least once, in order per customer.

routes            routes of notify.toml: receiver, filter, signature, retry policy
filter            which alert events a route wants
template          request bodies made from templates
alert_event       a record of the alerts topic as a CloudEvent over HTTP
signature         signatures of the Standard Webhooks specification
sender            one HTTP request and its outcome
delivery          delivery of one event: filter, send, retry, dead-letter
in_flight         in-flight events of one partition, and the offset that may be committed
route_consumer    one route: consumes, delivers, commits
notifier          all routes of one process, and the producer of dead letters
redelivery        delivers dead letters again (`notify --again`)
outcomes          outcomes of events and requests, as in metrics and dead letters
"""

from streams.notify.notifier import Notifier
from streams.notify.redelivery import redeliver
from streams.notify.routes import Route, parse_routes, read_routes

__all__ = ["Notifier", "Route", "parse_routes", "read_routes", "redeliver"]

"""Health endpoints and Prometheus metrics of a process.

monitor             wires the parts below for one process
http_server         `/healthz`, `/readyz` and `/metrics`, on a separate thread
http_limits         limits of an HTTP server: connections, and times for headers, bodies and idle connections
broker_probe        broker reachability, end offsets, and the age of the oldest waiting record
metric_catalogue    declaration of every metric
collector           collects declared metrics when they are scraped
worker_metrics      samples of a worker
trainer_metrics     samples of a trainer
notify_metrics      samples of a notifier
reader_metrics      samples of all roles: skipped records, failed tasks, HTTP connections
"""

from streams.monitoring.broker_probe import BrokerProbe
from streams.monitoring.collector import MetricsCollector
from streams.monitoring.http_server import HttpServer
from streams.monitoring.metric_catalogue import METRICS, Metric
from streams.monitoring.monitor import Monitor, monitored

__all__ = ["METRICS", "BrokerProbe", "HttpServer", "Metric", "MetricsCollector", "Monitor", "monitored"]

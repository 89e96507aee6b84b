"""Body templates: JSON bodies that a route posts instead of the event, with Jinja templates as strings.

The body is built as data and encoded as JSON at the end, so that no value can break out of its string. Values are also
escaped for the receiver: a customer with the id `<!channel>` must not notify a whole Slack channel.

Tested by tests/streams/notify/test_routes.py.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import jinja2
import orjson
from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

# Slack accepts 40,000 characters of text. A receiver of whole events should take the event itself.
BODY_MAX_BYTES: Final = 128 * 1024


def _slack(value: Any) -> str:
    # Slack requires exactly these three: api.slack.com, "Formatting text for app surfaces".
    return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


ESCAPES: Final[dict[str, Callable[[Any], str]]] = {"slack": _slack, "html": lambda v: html.escape(str(v)), "none": str}

# An alert with every field that a template can use. Templates are rendered with it when the routes are read.
SAMPLE: Final[dict[str, Any]] = {
    "alert_id": "ba6b51e2626a2eeaff35454088a77ddd",
    "seq": 1,
    "dedup_key": "c-1042/43204d335f1f",
    "type": "opened",
    "state": "open",
    "severity": "high",
    "time": "2024-03-13T02:44:11.275Z",
    "opened_at": "2024-03-13T02:44:11.275Z",
    "resolution": None,
    "snoozed_until": None,
    "rule": None,
    "route": "success",
    "risks": {
        "voluntary": {"probability": 0.2371, "horizon_days": 30.0},
        "involuntary": {"probability": 0.0083, "horizon_days": 14.0},
    },
    "payments": {
        "dunning_since": None, "dunning_days": None, "failed": 1, "recovered": 1, "recovered_rate": 1.0,
        "card_expires_in_days": 310.5,
    },
    "customer": {
        "id": "c-1042", "account": "acme", "segment": "business", "plan": "pro", "stage": "active", "tenure_days": 71.9,
        "consent": True,
    },
    "score": {
        "probability": 0.2454, "ci90": [0.0517, 0.66], "percentile": 0.9813, "band": "high", "previous": 0.1058,
        "horizon_days": 30.0, "definition": "43204d335f1f", "model": "704-0", "evidence": "medium",
        "log_odds": -1.123, "bias": -2.833, "rest": 1.11,
    },
    "reasons": [
        {
            "code": "USAGE_DROP", "sentence": "12 events in the last 30 days; usually 31",
            "feature": "events_30d", "value": 12.0, "baseline": 31.0, "contribution": 0.6, "points": 9.4,
        }
    ],
    "protective": [],
    "barriers": ["low_quality"],
    "experience": {
        "csat": {"answers": 3, "last": 0.4, "mean": 0.6667, "shrunk": 0.68, "top2": 0.6667, "trend": -0.4},
        "nps": {"last": 0.6, "group": "detractor"},
        "ces": None,
        "surveys_sent": 4,
        "answer_rate": 0.5,
        "touchpoints": [{"name": "support", "kind": "csat", "answers": 3, "mean": 0.6667, "last": 0.4}],
        "surveys": [],
        "barriers": [{"tag": "low_quality", "times": 2, "last": "2024-03-11T09:12:44Z"}],
        "cx": {
            "index": 65.7, "known": 0.7, "satisfaction": 68.0, "effort": None, "waiting": 53.6, "reopened": None,
            "errors": 81.2,
        },
    },
    "value": {
        "mrr": 49.0, "clv": 812.07, "clv_at_risk": 247.64, "revenue_at_risk": 12.03, "basis": "subscription",
        "purchases": None, "currency": "USD", "other_amounts": 0,
    },
    "action": {"playbook": "reengage", "treatment": None},
    "timing": {
        "event_time": "2024-03-12T20:44:11.275Z", "scored_at": "2024-03-12T20:44:11.275Z", "trigger": "snapshot"
    },
    "lineage": {
        "topic": "customer-events", "partition": 0, "offset": None, "features": "2225267760c8985d",
        "config": "cc1f7498641a",
    },
}  # fmt: skip


class TemplateError(ValueError):
    """The template is invalid, or cannot be rendered for this alert."""


class BodyTemplate:
    """A JSON body whose strings are templates.

    Args:
        shape: tables, lists, strings, numbers and booleans, as in TOML.
        escape: a name of `ESCAPES`.

    Raises:
        TemplateError: a template is not valid.

    >>> template = BodyTemplate({"text": "{{ customer.id }}: {{ severity }}"})
    >>> template.render({"customer": {"id": "<!here>"}, "severity": "high"})
    b'{"text":"&lt;!here&gt;: high"}'
    """

    def __init__(self, shape: Any, escape: str = "slack") -> None:
        # Not Jinja's autoescape, which is for HTML: Slack would show &#39; literally.
        environment = ImmutableSandboxedEnvironment(finalize=_finalizer(escape), undefined=StrictUndefined)
        self._shape = _compiled(shape, environment)

    def render(self, alert: dict[str, Any]) -> bytes:
        """Render the body for an alert. Raises `TemplateError`; its message does not quote the alert."""
        try:
            body = orjson.dumps(_rendered(self._shape, alert))
        except Exception as failure:  # a template is a user's program and can raise anything
            raise TemplateError(
                f"the body cannot be rendered: {type(failure).__name__}{_undefined_name(failure)}"
            ) from failure
        if len(body) > BODY_MAX_BYTES:
            raise TemplateError(f"the body has {len(body):,} bytes, more than the limit of {BODY_MAX_BYTES:,}")
        return body


def _compiled(shape: Any, environment: ImmutableSandboxedEnvironment) -> Any:
    if isinstance(shape, dict):
        return {name: _compiled(inner, environment) for name, inner in shape.items()}
    if isinstance(shape, list):
        return [_compiled(inner, environment) for inner in shape]
    if isinstance(shape, str):
        try:
            return environment.from_string(shape)
        except jinja2.TemplateError as error:
            raise TemplateError(f"not a valid Jinja template: {(error.message or '').rstrip('.')}") from None
    if isinstance(shape, bool | int | float):
        return shape
    raise TemplateError("only tables, lists, strings, numbers and booleans are allowed")


def _rendered(shape: Any, alert: dict[str, Any]) -> Any:
    if isinstance(shape, dict):
        return {name: _rendered(inner, alert) for name, inner in shape.items()}
    if isinstance(shape, list):
        return [_rendered(inner, alert) for inner in shape]
    return shape.render(alert) if isinstance(shape, Template) else shape


@lru_cache
def _finalizer(escape: str) -> Callable[[Any], str]:
    escape_value = ESCAPES[escape]
    return lambda value: escape_value("" if value is None else value)


def _undefined_name(failure: Exception) -> str:
    """Return the name of the undefined field, if that is the cause. Names are safe to report, values are not."""
    match = re.fullmatch(r"(?:'dict object' has no attribute )?'(\w+)'(?: is undefined)?", str(failure))
    return f" ({match[1]} is undefined)" if match is not None else ""

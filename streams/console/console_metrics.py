"""Metrics of a console: customers, alerts, logins, sessions and open pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.console.login_attempts import OUTCOMES

if TYPE_CHECKING:
    from streams.console.server import Console
    from streams.monitoring.collector import Samples


def console_samples(console: Console) -> Samples:
    """Yield the samples of a console. What the database holds is kept in memory: another thread calls this."""
    done, total = console.follower.progress
    yield "console_scores_read", (), done
    yield "console_scores_at_start", (), total
    for outcome in OUTCOMES:
        yield "console_logins", (outcome,), console.security.attempts.outcomes[outcome]
    yield "console_sessions", (), console.security.sessions
    yield "console_streams", (), len(console.streams)

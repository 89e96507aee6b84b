"""Propose a churn.toml for a log: which event ends the relationship, and how long a silence is unusual."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from models.backtesting.log_census import CANCELLATION, LogCensus
from models.duration import DAY_MS

USUAL_SHARE: Final = 0.95
"""A customer is called inactive after a gap that is longer than this share of all gaps between active days."""

INACTIVE_DAYS: Final = (7, 14, 30, 60, 90, 180, 365)
"""Periods to choose from: the shortest that is at least as long as the usual gap, and fits into the log."""

PERIODS_IN_LOG: Final = 4
"""A log has at least as many periods, so that labels mature in it."""

RARE_SNAPSHOTS_DAYS: Final = 60
"""From this period on, a training example per customer and four weeks is enough."""

PAYMENT_REASONS: Final = ("payment_failed", "payment_disputed")
"""Stripe's reasons for a cancellation that the customer did not decide."""


class Proposal(NamedTuple):
    """What a log says about churn.

    Attributes:
        inactive_days: Days without activity that count as churn; None: too few customers came back.
        shorter_gaps: Share of the gaps between active days that are not longer.
        cancellations: Events that end a subscription.
        voluntary, involuntary: Their reasons by the customer's decision, and by failed payments.
        without_reason: Cancellations without a reason.
    """

    inactive_days: int | None
    shorter_gaps: float
    cancellations: int
    voluntary: tuple[str, ...]
    involuntary: tuple[str, ...]
    without_reason: int


def propose(census: LogCensus) -> Proposal:
    """Read a proposal from the counts of a log."""
    gap, total = usual_gap_days(census.gaps), sum(census.gaps)
    span_days = max(census.last_ms - census.first_ms, 0) // DAY_MS
    fitting = [days for days in INACTIVE_DAYS if PERIODS_IN_LOG * days <= span_days] or [INACTIVE_DAYS[0]]
    days = next((days for days in fitting if days >= gap), fitting[-1]) if total else None
    named = sorted(reason for reason in census.reasons if reason not in ("", census.reasons.OTHERS))
    without = census.reasons.get("")
    return Proposal(
        inactive_days=days,
        shorter_gaps=sum(census.gaps[: days + 1]) / total if days is not None else 0.0,
        cancellations=census.reasons.total,
        voluntary=tuple(reason for reason in named if reason not in PAYMENT_REASONS),
        involuntary=tuple(reason for reason in named if reason in PAYMENT_REASONS),
        without_reason=0 if without is None else without.times,
    )


def usual_gap_days(gaps: list[int]) -> int:
    """Return the `USUAL_SHARE` quantile of gaps in days, 0 without gaps.

    >>> usual_gap_days([0, 90, 5, 0, 5]), usual_gap_days([0, 0])
    (2, 0)
    """
    total, below = sum(gaps), 0
    for days, count in enumerate(gaps):
        below += count
        if total and below >= USUAL_SHARE * total:
            return days
    return 0


def churn_toml(proposal: Proposal, source: str) -> str:
    """Return the text of a commented churn.toml.

    Args:
        proposal: What the log says.
        source: The name of the log, for a comment.

    Raises:
        ValueError: The log has neither cancellations nor a customer who came back on another day.
    """
    if not proposal.cancellations and proposal.inactive_days is None:
        raise ValueError("it has no cancellation, and no customer was active on two days")
    heading = f"# Churn definition, proposed from {source}. Reference of all keys: docs/definition.md"
    parts = [f"{heading}\n\n[churn]\nversion = 1\n"]
    primary = []
    if proposal.cancellations:
        primary.append("voluntary")
        parts.append(_cancellations(proposal))
    if proposal.inactive_days is not None:
        if not proposal.cancellations:
            primary.append("inactivity")
        parts.append(_inactivity(proposal.inactive_days, proposal.shorter_gaps))
    horizon = 30 if proposal.cancellations else proposal.inactive_days
    every = 28 if horizon is not None and horizon >= RARE_SNAPSHOTS_DAYS else 7
    names = ", ".join(f'"{name}"' for name in primary)
    parts.append(
        f"[label]\nprimary = [{names}]  # label 1 if any of these occurs within the horizon\n"
        f'horizon = "{horizon}d"\ngrace = "2d"  # time in which late events can still change a label\n'
    )
    if proposal.cancellations and proposal.involuntary and proposal.voluntary:
        parts.append(
            "[label.involuntary]  # second label, with its own model and probability\n"
            'definitions = ["involuntary"]\nhorizon = "14d"  # payments are retried for about two weeks\n'
        )
    parts.append(f'[snapshot]\nevery = "{every}d"  # at most one training example per customer and period\n')
    return "\n".join(parts)


def _cancellations(proposal: Proposal) -> str:
    heading = f"[churn.definitions.voluntary]  # cancellations in the log: {proposal.cancellations:,}"
    text = f'{heading}\nevent = "{CANCELLATION}"\n'
    if not proposal.voluntary or not proposal.involuntary:
        missing = f", {proposal.without_reason:,} without a reason" if proposal.without_reason else ""
        return text + f"# The reasons do not separate decisions of customers from failed payments{missing}.\n"
    text += f"where = {{ reason = {_list(proposal.voluntary)} }}\n"
    if proposal.without_reason:
        text += (
            f"# ATTENTION: {proposal.without_reason:,} cancellations have no reason, and match neither definition.\n"
        )
    return text + (
        f'\n[churn.definitions.involuntary]  # the payment failed\nevent = "{CANCELLATION}"\n'
        f"where = {{ reason = {_list(proposal.involuntary)} }}\n"
    )


def _inactivity(days: int, shorter_gaps: float) -> str:
    share = f"{100 * shorter_gaps:.0f}%"
    return (
        f"[churn.definitions.inactivity]  # {share} of the gaps between active days are at most {days} days\n"
        f'not_performed = ["*"]  # any activity by the customer\nfor = "{days}d"\nif_active_in = "{days}d"\n'
    )


def _list(texts: tuple[str, ...]) -> str:
    return "[" + ", ".join(json.dumps(text) for text in texts) + "]"

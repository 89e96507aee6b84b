"""Judge the reasons of alerts: contradictions, and baselines in the first reason.

    churn-signals backtest EVENTS --config churn.toml --alerts alerts.jsonl
    python -m benchmarks.quality.reasons alerts.jsonl

Reads the changes that ask for action (opened, escalated, reminded). Exits with 1 if one contains a contradiction, or if
fewer than 90% of the first reasons name a baseline. The checks read sentences and values as a person would: they share
no code with `models.explanations`.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

ASKING: Final = ("opened", "escalated", "reminded")
LEAST_BASELINES: Final = 0.9
ONBOARDING_DAYS: Final = 180
LEAST_USUAL: Final = 3.0  # events: below this usual number, no event is no evidence
QUIET_DAYS: Final = 7.0
_BASELINE: Final = re.compile(
    r"; usually|normally|customers? (typically|were typically|now|have|name|see|write)|most customers"
    r"|% of (paying )?customers"
    r"|; usual|usual gap of|; earlier ratings|; [\d.,]+ in the last 90 days|of [\d.,]+ features?"
    r"|customer's (average|best)"
)


def contradictions(alert: dict[str, Any]) -> Iterator[str]:
    """The kinds of contradiction in one alert."""
    customer = alert["customer"]
    if customer["stage"] == "onboarding" and customer["tenure_days"] > ONBOARDING_DAYS:
        yield "onboarding after 180 days"
    for reason in alert["reasons"]:
        yield from _raising(reason)
    for reason in alert["protective"]:
        yield from _protective(reason)


def _raising(reason: dict[str, Any]) -> Iterator[str]:
    code, feature, value, baseline = (reason[key] for key in ("code", "feature", "value", "baseline"))
    sentence = reason["sentence"].lower()
    counted = feature.startswith(("events_", "active_days_"))
    if counted and not value and (baseline is None or baseline < LEAST_USUAL):
        yield "no activity where fewer than 3 events are usual"
    if feature == "events_1h" or "in the last hours" in sentence:
        yield "activity right now as a reason for risk"
    if feature == "ces_last" and value >= 0.5:
        yield "support rated easy"
    if code == "SLOW_SUPPORT" and feature != "time_to_solve_hours":
        yield "SLOW_SUPPORT for something else"
    if code == "NPS_DETRACTOR" and value >= 0.7:
        yield "NPS_DETRACTOR from 7 of 10"
    if code == "CSAT_DETRACTOR" and value >= 0.7:
        yield "CSAT_DETRACTOR from 70%"
    if code == "CARD_EXPIRING" and value > 60:
        yield "card expires in over 60 days"
    if "within the usual gap" in sentence or (feature.endswith("overdue_ratio") and value <= 1.05):
        yield "within the usual gap"
    if feature == "gap_sd_days":
        yield "gaps between active days vary"
    if feature == "sentiment" and value > -0.1:
        yield "review not negative"
    if code == "DOWNGRADE" and (feature == "mrr" or (feature == "mrr_delta_90" and value >= 0)):
        yield "DOWNGRADE without a lower price"
    if code == "REFERRALS_STOPPED" and value > 0 and feature == "referrals_90":
        yield "REFERRALS_STOPPED after a referral"
    if baseline is not None and counted and value > baseline:
        yield "more activity than the baseline"
    if feature in ("recency_days", "order_recency_days") and baseline is not None and value <= baseline:
        yield "shorter silence than the baseline"


def _protective(reason: dict[str, Any]) -> Iterator[str]:
    code, feature, value = reason["code"], reason["feature"], reason["value"]
    if value is None:
        return
    if feature == "breadth_drop" and value > 0:
        yield "protective: features not used"
    if feature == "recency_days" and value > QUIET_DAYS:
        yield "protective: quiet for over 7 days"
    if feature == "overdue_ratio" and value > 1.05:
        yield "protective: overdue"
    if feature in ("dunning_open", "cancel_scheduled", "unsubscribed", "paused") and value > 0.5:
        yield f"protective: {feature}"
    if code in ("NPS_DETRACTOR", "CSAT_DETRACTOR", "SLOW_SUPPORT", "RHYTHM_BROKEN", "REFERRALS_STOPPED", "DOWNGRADE"):
        yield "protective: code of a risk"


def names_baseline(reason: dict[str, Any]) -> bool:
    """Whether a reason's sentence names what is usual for this customer or for others."""
    return _BASELINE.search(reason["sentence"]) is not None


def judge(alerts: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Counts over the alerts that ask for action."""
    asked = contradicting = baselines = 0
    kinds: Counter[str] = Counter()
    first: Counter[str] = Counter()
    for alert in alerts:
        if alert["type"] not in ASKING:
            continue
        asked += 1
        found = set(contradictions(alert))
        contradicting += bool(found)
        kinds.update(found)
        baselines += names_baseline(alert["reasons"][0])
        first[alert["reasons"][0]["code"]] += 1
    return {
        "alerts": asked,
        "contradicting": contradicting,
        "kinds": dict(kinds.most_common()),
        "baselines": baselines / asked if asked else 1.0,
        "first": dict(first.most_common()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="what churn-signals backtest --alerts wrote")
    options = parser.parse_args()
    with open(options.file, encoding="utf-8") as lines:
        result = judge(json.loads(line) for line in lines)
    print(f"{result['alerts']:,} alerts that ask for action")
    print(f"with a contradiction: {result['contradicting']:,}")
    for kind, times in result["kinds"].items():
        print(f"  {times:>6,}  {kind}")
    print(f"first reason names a baseline: {result['baselines']:.1%}")
    print("first reasons: " + ", ".join(f"{code} {times:,}" for code, times in result["first"].items()))
    return int(result["contradicting"] > 0 or result["baselines"] < LEAST_BASELINES)


if __name__ == "__main__":
    raise SystemExit(main())

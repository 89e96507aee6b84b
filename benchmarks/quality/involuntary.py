"""Losses by a failed payment on simulated customers, whose true hazard is known, beside that truth.

    python -m benchmarks.quality.involuntary [--customers N] [--days N] [--seeds N] [--json OUT]

For every seed: the ROC AUC and log loss of the frozen probabilities of a loss by payment within 14 days, beside those
of the true cumulative incidence at the same snapshots, which knows the hidden state (no model can do better than the
truth, but by luck); the same of losses by choice within 30 days and of both together, whose probabilities add up; and
how often the route `billing` fell on those who were lost by a payment. Judged are the snapshots after the first third
of the labels.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.backtesting.backtest import Backtest
from models.definition.churn_definition import ChurnDefinition
from models.definition.competing_risks import INVOLUNTARY, VOLUNTARY, Horizons, involuntary_dominates
from models.duration import DAY_MS
from models.events.event import Event, decode
from models.features.catalogue import CATALOGUE, NAMES, RELATIVE
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.metrics.classification import auc, ece, log_loss
from models.simulation import Simulation, SimulationSettings, true_probabilities
from streams.kafka.partitioner import partition_of

HORIZONS = Horizons(30 * DAY_MS, 14 * DAY_MS)
LEARNED = 1 / 3
AUC_GAP_LIMIT, ECE_LIMIT = 0.03, 0.005
CHURN = f"""
[churn.definitions.voluntary]
event = "Subscription Cancelled"
where = {{ reason = ["cancellation_requested"] }}
[churn.definitions.involuntary]
event = "Subscription Cancelled"
where = {{ reason = ["payment_failed", "payment_disputed"] }}
[label]
horizon = "{HORIZONS.voluntary_ms // DAY_MS}d"
[label.involuntary]
horizon = "{HORIZONS.involuntary_ms // DAY_MS}d"
"""


def judge(customers: int, days: int, seed: int, mix: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Simulates, replays and compares with the truth; see the module's docstring."""
    kinds = {} if mix is None else {"mix": mix}
    simulation = Simulation(
        SimulationSettings(customers=customers, days=days, seed=seed, shops=0.0, **kinds), record=True
    )  # type: ignore[arg-type]
    run = Backtest(ChurnDefinition.parse(CHURN), Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE)), 4, partition_of)
    events = (decode(event.value, (), None) for event in simulation.events())
    for _ in run.run(event for event in events if isinstance(event, Event)):
        pass
    examples = sorted((e for e in run.examples if e.involuntary is not None), key=lambda e: e.release_ms)
    learned = examples[int(LEARNED * len(examples))].release_ms
    late = [e for e in examples if e.snapshot_ms >= learned]
    traces, at = [simulation.traces[e.customer] for e in late], [e.snapshot_ms for e in late]
    said = {
        VOLUNTARY: np.array([e.probability for e in late]),
        INVOLUNTARY: np.array([e.involuntary and e.involuntary.probability for e in late], dtype=np.float64),
    }
    came = {
        VOLUNTARY: np.array([e.label for e in late]),
        INVOLUNTARY: np.array([e.involuntary and e.involuntary.label for e in late], dtype=np.int64),
    }
    truth = {
        cause: true_probabilities(traces, at, horizon_ms / DAY_MS, cause)
        for cause, horizon_ms in zip((VOLUNTARY, INVOLUNTARY), HORIZONS, strict=True)
    }
    billing = involuntary_dominates(said[VOLUNTARY], said[INVOLUNTARY], HORIZONS)
    lost = came[VOLUNTARY] + came[INVOLUNTARY]
    for one in (said, came, truth):
        one["together"] = one[VOLUNTARY] + one[INVOLUNTARY]
    return {
        "seed": seed,
        "labels": len(examples),
        "snapshots": len(late),
        "causes": {
            cause: {
                "lost": int(came[cause].sum()),
                "mean_probability": float(said[cause].mean()),
                "rate": float(came[cause].mean()),
                "auc": auc(came[cause], said[cause]),
                "true_auc": auc(came[cause], truth[cause]),
                "log_loss": log_loss(came[cause], said[cause]),
                "true_log_loss": log_loss(came[cause], truth[cause]),
                "ece": ece(came[cause], np.minimum(said[cause], 1.0)),
            }
            for cause in said
        },
        "billing": int(billing.sum()),
        "billing_lost_by_payment": _share(came[INVOLUNTARY][billing & (lost > 0)]),
        "success_lost_by_payment": _share(came[INVOLUNTARY][~billing & (lost > 0)]),
    }


def _share(values: Any) -> float | None:
    return float(values.mean()) if len(values) else None


def means(results: list[dict[str, Any]]) -> dict[str, float]:
    """The gap of the AUC to the truth's, and the ECE, of losses by payment, averaged over the seeds."""
    found = [r["causes"][INVOLUNTARY] for r in results]
    return {
        "auc_gap": float(np.mean([one["true_auc"] - one["auc"] for one in found])),
        "ece": float(np.mean([one["ece"] for one in found])),
    }


def missed(mean: dict[str, float]) -> list[str]:
    """Names of the limits that are not kept."""
    limits = {"auc_gap": AUC_GAP_LIMIT, "ece": ECE_LIMIT}
    return [name for name, limit in limits.items() if mean[name] > limit]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", metavar="OUT")
    options = parser.parse_args()
    results = []
    print(
        f"{'seed':>4} {'cause':<12} {'snapshots':>9} {'lost':>6} {'said':>7} {'came':>7} {'AUC':>6} {'true AUC':>8}"
        f" {'log loss':>8} {'true':>7} {'ECE':>7}"
    )
    for seed in range(1, options.seeds + 1):
        r = judge(options.customers, options.days, seed)
        results.append(r)
        for cause, one in r["causes"].items():
            print(
                f"{seed:>4} {cause:<12} {r['snapshots']:>9,} {one['lost']:>6,} {one['mean_probability']:>7.4f}"
                f" {one['rate']:>7.4f} {one['auc']:>6.3f} {one['true_auc']:>8.3f} {one['log_loss']:>8.4f}"
                f" {one['true_log_loss']:>7.4f} {one['ece']:>7.4f}",
                flush=True,
            )
        shares = [100 * (r[f"{route}_lost_by_payment"] or 0.0) for route in ("billing", "success")]
        print(
            f"{seed:>4} routes: {r['billing']:,} snapshots for billing; of those lost, by a payment:"
            f" {shares[0]:.0f} % where it was billing, {shares[1]:.0f} % where it was success"
        )
    mean = means(results)
    print("mean, by payment: " + ", ".join(f"{name} {value:.4f}" for name, value in mean.items()))
    print(f"limits: auc_gap {AUC_GAP_LIMIT}, ece {ECE_LIMIT}; missed: {', '.join(missed(mean)) or 'none'}")
    if options.json:
        Path(options.json).write_text(json.dumps({"seeds": results, "mean": mean}, indent=1) + "\n")
    return 1 if missed(mean) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Compare predicted involuntary churn of simulated customers with their true hazards.

    python -m benchmarks.quality.involuntary [--customers N] [--days N] [--seeds N] [--json OUT]

For every seed, the benchmark computes ROC AUC and log loss of the frozen probabilities of involuntary churn within 14
days, and those of the true cumulative incidence at the same snapshots. The truth knows the hidden state, so a model
beats it only by chance. It does the same for voluntary churn within 30 days, and for both together, whose probabilities
add up. It also measures how often customers with the route `billing` were lost to a failed payment. The evaluation uses
the snapshots after the first third of the labels.
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
    """Simulate, replay and compare with the truth; see the module docstring."""
    kinds: dict[str, Any] = {} if mix is None else {"mix": mix}
    simulation = Simulation(
        SimulationSettings(customers=customers, days=days, seed=seed, shops=0.0, **kinds), record=True
    )
    run = Backtest(ChurnDefinition.parse(CHURN), Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE)), 4, partition_of)
    events = (decode(event.value, (), None) for event in simulation.events())
    for _ in run.run(event for event in events if isinstance(event, Event)):
        pass
    examples = sorted((e for e in run.examples if e.involuntary is not None), key=lambda e: e.release_ms)
    learned = examples[int(LEARNED * len(examples))].release_ms
    late = [e for e in examples if e.snapshot_ms >= learned]
    traces, at = [simulation.traces[e.customer] for e in late], [e.snapshot_ms for e in late]
    predicted = {
        VOLUNTARY: np.array([e.probability for e in late]),
        INVOLUNTARY: np.array([e.involuntary and e.involuntary.probability for e in late], dtype=np.float64),
    }
    observed = {
        VOLUNTARY: np.array([e.label for e in late]),
        INVOLUNTARY: np.array([e.involuntary and e.involuntary.label for e in late], dtype=np.int64),
    }
    truth = {
        cause: true_probabilities(traces, at, horizon_ms / DAY_MS, cause)
        for cause, horizon_ms in zip((VOLUNTARY, INVOLUNTARY), HORIZONS, strict=True)
    }
    billing = involuntary_dominates(predicted[VOLUNTARY], predicted[INVOLUNTARY], HORIZONS)
    lost = observed[VOLUNTARY] + observed[INVOLUNTARY]
    for by_cause in (predicted, observed, truth):
        by_cause["together"] = by_cause[VOLUNTARY] + by_cause[INVOLUNTARY]
    return {
        "seed": seed,
        "labels": len(examples),
        "snapshots": len(late),
        "causes": {
            cause: {
                "lost": int(observed[cause].sum()),
                "mean_probability": float(predicted[cause].mean()),
                "rate": float(observed[cause].mean()),
                "auc": auc(observed[cause], predicted[cause]),
                "true_auc": auc(observed[cause], truth[cause]),
                "log_loss": log_loss(observed[cause], predicted[cause]),
                "true_log_loss": log_loss(observed[cause], truth[cause]),
                "ece": ece(observed[cause], np.minimum(predicted[cause], 1.0)),
            }
            for cause in predicted
        },
        "billing": int(billing.sum()),
        "billing_lost_by_payment": _share(observed[INVOLUNTARY][billing & (lost > 0)]),
        "success_lost_by_payment": _share(observed[INVOLUNTARY][~billing & (lost > 0)]),
    }


def _share(values: Any) -> float | None:
    return float(values.mean()) if len(values) else None


def means(results: list[dict[str, Any]]) -> dict[str, float]:
    """Gap between the true AUC and the model's AUC, and ECE, for involuntary churn, averaged over the seeds."""
    found = [r["causes"][INVOLUNTARY] for r in results]
    return {
        "auc_gap": float(np.mean([scores["true_auc"] - scores["auc"] for scores in found])),
        "ece": float(np.mean([scores["ece"] for scores in found])),
    }


def missed(mean: dict[str, float]) -> list[str]:
    """Names of the missed limits."""
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
        f"{'seed':>4} {'cause':<12} {'snapshots':>9} {'lost':>6} {'predicted':>9} {'observed':>8} {'AUC':>6}"
        f" {'true AUC':>8} {'log loss':>8} {'true':>7} {'ECE':>7}"
    )
    for seed in range(1, options.seeds + 1):
        r = judge(options.customers, options.days, seed)
        results.append(r)
        for cause, scores in r["causes"].items():
            print(
                f"{seed:>4} {cause:<12} {r['snapshots']:>9,} {scores['lost']:>6,} {scores['mean_probability']:>9.4f}"
                f" {scores['rate']:>8.4f} {scores['auc']:>6.3f} {scores['true_auc']:>8.3f} {scores['log_loss']:>8.4f}"
                f" {scores['true_log_loss']:>7.4f} {scores['ece']:>7.4f}",
                flush=True,
            )
        shares = [100 * (r[f"{route}_lost_by_payment"] or 0.0) for route in ("billing", "success")]
        print(
            f"{seed:>4} routes: {r['billing']:,} snapshots routed to billing; involuntary share of churned customers:"
            f" {shares[0]:.0f}% for billing, {shares[1]:.0f}% for success"
        )
    mean = means(results)
    print("mean, involuntary: " + ", ".join(f"{name} {value:.4f}" for name, value in mean.items()))
    print(f"limits: auc_gap {AUC_GAP_LIMIT}, ece {ECE_LIMIT}; missed: {', '.join(missed(mean)) or 'none'}")
    if options.json:
        Path(options.json).write_text(json.dumps({"seeds": results, "mean": mean}, indent=1) + "\n")
    return 1 if missed(mean) else 0


if __name__ == "__main__":
    sys.exit(main())

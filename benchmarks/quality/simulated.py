"""Measure model quality on simulated customers, whose true hazards are known.

    python -m benchmarks.quality.simulated [--customers N] [--days N] [--seeds N] [--json OUT]

For every seed, the benchmark computes the calibration after the first 20,000 matured labels. It compares the ROC AUC of
the frozen probabilities with that of the true hazard at the same snapshots, which a model beats only by chance. It also
computes the lift of the top tenth among the snapshots before the first 100 labels, when only the prior is active.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from models.backtesting.backtest import Backtest
from models.definition.churn_definition import ChurnDefinition
from models.events.event import Event, decode
from models.features.catalogue import CATALOGUE, NAMES, RELATIVE
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.metrics.classification import auc, ece, lift
from models.simulation import Simulation, SimulationSettings, true_probabilities
from streams.kafka.partitioner import partition_of

SETTLED_LABELS = 20_000
EARLY_LABELS = 100
ECE_LIMIT, AUC_GAP_LIMIT, LIFT_LIMIT = 0.02, 0.03, 1.5
HORIZON_DAYS = 30

CHURN = f"""
[churn.definitions.cancelled]
event = "Subscription Cancelled"
[label]
horizon = "{HORIZON_DAYS}d"
grace = "2d"
[snapshot]
every = "7d"
"""


def judge(customers: int, days: int, seed: int, settled: int = SETTLED_LABELS) -> dict[str, Any]:
    """Simulate, replay and compare with the truth; see the module docstring.

    `auc_gap` is over the snapshots after the first `settled` releases, None if there are none.
    """
    simulation = Simulation(SimulationSettings(customers=customers, days=days, seed=seed, shops=0.0), record=True)
    run = Backtest(ChurnDefinition.parse(CHURN), Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE)), 4, partition_of)
    events = (decode(event.value, (), None) for event in simulation.events())
    for _ in run.run(event for event in events if isinstance(event, Event)):
        pass
    examples = sorted(run.examples, key=lambda e: e.release_ms)
    y = np.array([e.label for e in examples])
    p = np.array([e.probability for e in examples])
    at = np.array([e.snapshot_ms for e in examples])
    truth = true_probabilities([simulation.traces[e.customer] for e in examples], at.tolist(), HORIZON_DAYS)
    early = at < examples[EARLY_LABELS].release_ms
    result: dict[str, Any] = {
        "seed": seed,
        "events": run.events,
        "labels": len(examples),
        "base_rate": float(y.mean()),
        "early_snapshots": int(early.sum()),
        "early_lift": lift(y[early], p[early]),
    }
    if len(examples) > settled:
        late = at >= examples[settled].release_ms
        result |= {
            "late_snapshots": int(late.sum()),
            "ece": ece(y[late], p[late]),
            "auc": auc(y[late], p[late]),
            "true_auc": auc(y[late], truth[late]),
        }
    return result


def means(results: list[dict[str, Any]]) -> dict[str, float]:
    """Early lift, ECE and the AUC gap to the truth, averaged over the seeds, because one seed's gap varies by 0.01."""
    late = [r for r in results if "ece" in r]
    found = {"early_lift": float(np.mean([r["early_lift"] for r in results]))}
    if late:
        found["ece"] = float(np.mean([r["ece"] for r in late]))
        found["auc_gap"] = float(np.mean([r["true_auc"] - r["auc"] for r in late]))
    return found


def missed(mean: dict[str, float]) -> list[str]:
    """Names of the missed limits."""
    limits = {"ece": ECE_LIMIT, "auc_gap": AUC_GAP_LIMIT}
    found = [name for name, limit in limits.items() if mean.get(name, 0.0) > limit]
    return found + (["early_lift"] if mean["early_lift"] <= LIFT_LIMIT else [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=3000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", metavar="OUT")
    options = parser.parse_args()
    results = []
    print(f"{'seed':>4} {'labels':>8} {'rate':>6} {'early lift':>10} {'ECE':>7} {'AUC':>6} {'true AUC':>9} {'gap':>6}")
    for seed in range(1, options.seeds + 1):
        r = judge(options.customers, options.days, seed)
        results.append(r)
        late = ""
        if "ece" in r:
            late = f" {r['ece']:>7.4f} {r['auc']:>6.3f} {r['true_auc']:>9.3f} {r['true_auc'] - r['auc']:>6.3f}"
        print(f"{seed:>4} {r['labels']:>8,} {r['base_rate']:>6.3f} {r['early_lift']:>10.2f}{late}", flush=True)
    mean = means(results)
    print("mean: " + ", ".join(f"{name} {value:.4f}" for name, value in mean.items()))
    print(f"limits: early_lift above {LIFT_LIMIT}, ece {ECE_LIMIT}, auc_gap {AUC_GAP_LIMIT}; missed: ", end="")
    print(", ".join(missed(mean)) or "none")
    if options.json:
        Path(options.json).write_text(json.dumps({"seeds": results, "mean": mean}, indent=1) + "\n")
    return 1 if missed(mean) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Quality on simulated customers, whose true hazards are known.

    python -m benchmarks.quality.simulated [--customers N] [--days N] [--seeds N] [--json OUT]

For every seed: calibration after the first 20,000 matured labels, the ROC AUC of the frozen probabilities beside that
of the true hazard at the same snapshots (no model can do better than the truth, but by luck), and the lift of the top
tenth among the snapshots taken before the first 100 labels were known, when only the prior answers.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from models.backtest import Backtest
from models.definition import ChurnDefinition
from models.evaluation import auc, ece, lift
from models.event import Event, decode
from models.features import CATALOGUE, NAMES, RELATIVE
from models.model import Model
from models.simulation import Settings, Simulation, true_probabilities
from models.space import FeatureSpace
from streams.partitioner import partition_of

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
    """Simulates, replays and compares with the truth; see the module's docstring.

    `auc_gap` is over the snapshots after the first `settled` releases, None where there are none.
    """
    simulation = Simulation(Settings(customers=customers, days=days, seed=seed, shops=0.0), record=True)
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


def missed(result: dict[str, Any]) -> list[str]:
    """Names of the limits that a result does not keep."""
    found = []
    if result["early_lift"] <= LIFT_LIMIT:
        found.append("early_lift")
    if "ece" in result:
        if result["ece"] > ECE_LIMIT:
            found.append("ece")
        if result["true_auc"] - result["auc"] > AUC_GAP_LIMIT:
            found.append("auc")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=3000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", metavar="OUT")
    options = parser.parse_args()
    results = []
    print(f"{'seed':>4} {'labels':>8} {'rate':>6} {'early lift':>10} {'ECE':>6} {'AUC':>6} {'true AUC':>9}  missed")
    for seed in range(1, options.seeds + 1):
        r = judge(options.customers, options.days, seed)
        results.append(r)
        late = (
            f"{r['ece']:>6.4f} {r['auc']:>6.3f} {r['true_auc']:>9.3f}" if "ece" in r else f"{'-':>6} {'-':>6} {'-':>9}"
        )
        print(
            f"{seed:>4} {r['labels']:>8,} {r['base_rate']:>6.3f} {r['early_lift']:>10.2f} {late}  "
            f"{', '.join(missed(r)) or 'none'}",
            flush=True,
        )
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    return 1 if any(missed(r) for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())

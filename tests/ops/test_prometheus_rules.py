"""Prometheus rules and dashboard: they use existing metrics, each rule has a runbook, and the rule tests pass."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.monitoring.metric_catalogue import METRICS
from tools.docs import DOCS

PROMETHEUS = DOCS.parent / "ops" / "prometheus"
NEEDS_PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: make debian-tools"
)
PANELS = json.loads((PROMETHEUS.parent / "grafana/dashboards/churn-signals.json").read_text())["panels"]
RULE_TESTS = sorted(path.name for path in PROMETHEUS.glob("rules_*test.yml"))
QUERIES = [target["expr"] for panel in PANELS for target in panel.get("targets", [])]
SERIES = {name for metric in METRICS for name in metric.all_series}
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"] for rule in group["rules"]
]


def test_every_metric_of_a_rule_exists() -> None:
    """Rule: an alert on an unknown metric would never fire."""
    for rule in RULES:
        named = set(re.findall(r"churn_signals_\w+", rule["expr"]))
        assert named, rule["alert"]
        assert named <= SERIES, rule["alert"]


def test_dashboard_has_four_rows_with_metrics_that_exist() -> None:
    """Rule: no panel is permanently empty."""
    assert [panel["title"] for panel in PANELS if panel["type"] == "row"] == [
        "Service",
        "Bottlenecks",
        "Input quality",
        "Model quality",
    ]
    assert all("churn_signals_" in query for query in QUERIES)
    assert set(re.findall(r"churn_signals_\w+", " ".join(QUERIES))) <= SERIES
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


@NEEDS_PROMTOOL
def test_dashboard_queries_are_valid(tmp_path: Path) -> None:
    """Rule: each is a valid PromQL expression."""
    file = tmp_path / "queries.yml"
    rules = [{"record": f"query:{n}", "expr": query} for n, query in enumerate(QUERIES)]
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    ran = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_rules_and_runbooks_correspond() -> None:
    """Rule: each rule links to its runbook. A runbook has meaning, check, action and resolution."""
    page = (DOCS / "operating.md").read_text(encoding="utf-8")
    text = page.split("\n## Runbooks\n")[1].split("\n## ")[0]
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", text, re.DOTALL | re.MULTILINE))
    assert list(sections) == [rule["alert"] for rule in RULES]
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/operating.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("warning", "critical")
        for word in ("Meaning", "Check", "Action", "Resolves when"):
            assert f"- **{word}**:" in sections[rule["alert"]], (rule["alert"], word)


def test_every_rule_has_a_test_in_which_it_fires() -> None:
    """Rule: the rule tests expect each rule to fire at least once."""
    tests = [test for name in RULE_TESTS for test in yaml.safe_load((PROMETHEUS / name).read_text())["tests"]]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in RULES}


@NEEDS_PROMTOOL
def test_rule_tests_pass() -> None:
    """Rule: each rule fires on its series only."""
    ran = subprocess.run(
        ["promtool", "test", "rules", *RULE_TESTS], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr

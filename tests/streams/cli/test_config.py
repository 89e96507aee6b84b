"""`churn-signals config`: prints the effective definition; a wrong file fails with one sentence."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.definition.alert_keys import ALERT_KEYS
from models.definition.churn_definition import ChurnDefinition
from models.definition.named_definition import DEFINITION_KEYS
from streams.cli.main import main
from tests.paths import ROOT


@pytest.mark.parametrize("name", ["churn.toml", "benchmarks/quality/oulad.toml", "benchmarks/quality/cdnow.toml"])
def test_the_output_is_the_effective_definition_with_its_hash(name: str) -> None:
    definition = ChurnDefinition.parse((ROOT / name).read_text())
    result = CliRunner().invoke(main, ["config", "--config", str(ROOT / name)])
    assert result.exit_code == 0
    assert ChurnDefinition.parse(result.stdout) == definition
    assert f"hash {definition.hash}, label hash {definition.label_hash}" in result.stdout.splitlines()[0]


def test_default_is_churn_toml_in_the_working_directory() -> None:
    with CliRunner().isolated_filesystem():
        Path("churn.toml").write_text('[churn.definitions.voluntary]\nevent = "Left"\n')
        assert 'event = "Left"' in CliRunner().invoke(main, ["config"]).stdout


def test_wrong_file_fails_with_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    wrong = tmp_path / "churn.toml"
    wrong.write_text('[churn.definitions.voluntary]\nevent = "Left"\n[label]\nhorizn = "30d"\n')
    result = CliRunner().invoke(main, ["config", "--config", str(wrong)])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert re.fullmatch(r"Error: .*churn\.toml: label\.horizn = \"30d\" .* did you mean horizon .*\.\n", result.stderr)


def test_missing_or_binary_file_fails_with_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"[churn]\nversion = \xff\xfe")
    for name, message in (("binary.toml", "byte 18 is not UTF-8"), ("none.toml", "No such file")):
        result = CliRunner().invoke(main, ["config", "--config", str(tmp_path / name)])
        assert result.exit_code == 2
        assert message in result.stderr
    with CliRunner().isolated_filesystem():
        assert "Name your churn definition with --config" in CliRunner().invoke(main, ["config"]).stderr


def test_file_written_on_windows_is_read(tmp_path: Path) -> None:
    (tmp_path / "churn.toml").write_bytes(b'\xef\xbb\xbf[churn.definitions.voluntary]\r\nevent = "Left"\r\n')
    assert CliRunner().invoke(main, ["config", "--config", str(tmp_path / "churn.toml")]).exit_code == 0


# --- docs/definition.md -------------------------------------------------------------------------------------------

GUIDE = (ROOT / "docs/definition.md").read_text()


def test_every_example_in_the_guide_is_a_valid_definition() -> None:
    examples = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    assert len(examples) >= 4
    for example in examples:
        ChurnDefinition.parse(example)


def test_the_guide_lists_every_key_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([a-z_.NAME]+)` \| ([^|]+?) \|", GUIDE, re.MULTILINE))
    effective = tomllib.loads(ChurnDefinition.parse('[churn.definitions.left]\nevent = "Left"').to_toml())
    for table in ("churn", "label", "snapshot", "score", "population"):
        for key, value in effective[table].items():
            if not isinstance(value, dict | list):
                assert rows[f"{table}.{key}"].strip('`"') == str(value)
            else:
                assert f"{table}.{key}" in rows or key == "definitions"
    for key in (*(f"churn.definitions.NAME.{k}" for k in DEFINITION_KEYS), *(f"alerts.{k}" for k in ALERT_KEYS)):
        assert key in rows


def test_the_errors_in_the_guide_are_real() -> None:
    errors = re.findall(r"^Error: churn\.toml: (.*)$", GUIDE, re.MULTILINE)
    assert len(errors) >= 2
    base = '[churn.definitions.voluntary]\nevent = "Subscription Cancelled"\n'
    for text, message in zip(
        ('[label]\nhorizn = "30d"', '[label]\nprimary = ["volontary"]', "[label]\nhorizon = 30"), errors, strict=True
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            ChurnDefinition.parse(base + text)

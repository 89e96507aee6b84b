"""The command line: fast --help, one sentence for each failure; and the helpers that commands share."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from streams.cli import main as cli
from streams.cli.main import COMMANDS, main, module_of
from streams.cli.options import TIME
from streams.cli.progress import ProgressBar
from streams.errors import ChurnSignalsError, ConfigurationError, OwnershipLost
from streams.input_file import LINE_MAX_BYTES, InputFile

CLI = Path(cli.__file__).parent


def test_help_shows_one_line_for_each_existing_command() -> None:
    result = CliRunner().invoke(main, ["--help"], terminal_width=200)
    assert result.exit_code == 0
    for name, line in COMMANDS.items():
        shown = re.search(rf"^  {name} +{re.escape(line)}$", result.output, re.MULTILINE) is not None
        assert shown == (CLI / f"{module_of(name)}.py").exists(), name
    assert "75 restart" in result.output


def test_help_loads_no_command_and_no_heavy_package() -> None:
    script = (
        "import sys\nfrom streams.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'numpy', 'faust', 'river', 'aiokafka', 'rich', 'matplotlib', 'models.definition.churn_definition'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stderr.strip() == "[]"


@pytest.mark.parametrize("name", [name for name in COMMANDS if (CLI / f"{module_of(name)}.py").exists()])
def test_every_listed_command_has_help(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_the_version_is_shown() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert re.search(r"\d+\.\d+\.\d+", result.output)


def test_misspelled_command_is_wrong_usage_and_suggests_the_nearest() -> None:
    result = CliRunner().invoke(main, ["confgi"])
    assert result.exit_code == 2
    assert "Did you mean config?" in result.output


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (ChurnSignalsError("The broker is gone."), 1),
        (ConfigurationError("The topic is wrong."), 2),
        (OwnershipLost("Fenced."), 75),
    ],
)
def test_product_error_prints_one_sentence_and_sets_its_exit_code(
    error: ChurnSignalsError, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(cli.Commands, "get_command", lambda *_: failing)
    result = CliRunner().invoke(main, ["worker"])
    assert result.exit_code == exit_code
    assert result.stderr == f"Error: {error}\n"
    assert result.stdout == ""


def test_command_with_a_missing_package_names_it_and_others_still_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(_name: str) -> None:
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")

    monkeypatch.setattr(cli, "import_module", missing)
    result = CliRunner().invoke(main, ["config"])
    assert result.exit_code == 1
    assert "config needs the package matplotlib" in result.output
    assert CliRunner().invoke(main, ["--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        ("2014-01-26", 1_390_694_400_000),
        ("2014-01-26T01:00:00+01:00", 1_390_694_400_000),
        ("2014-01-26T00:00:00.250Z", 1_390_694_400_250),
        ("1390694400", 1_390_694_400_000),
        ("1390694400000", 1_390_694_400_000),
    ],
)
def test_time_is_rfc_3339_a_date_or_epoch(written: str, milliseconds: int) -> None:
    assert TIME.convert(written, None, None) == milliseconds


@pytest.mark.parametrize("written", ["yesterday", "", "2014-13-01", "20140126", "nan"])
def test_invalid_time_is_rejected_with_the_accepted_forms(written: str) -> None:
    with pytest.raises(click.BadParameter, match="RFC 3339"):
        TIME.convert(written, None, None)


def test_file_content_decides_about_gzip_not_its_name(tmp_path: Path) -> None:
    plain, gzipped = tmp_path / "plain.gz", tmp_path / "gzipped.jsonl"
    plain.write_bytes(b"one\r\ntwo\n\nlast")
    gzipped.write_bytes(gzip.compress(b"one\r\ntwo\n\nlast"))
    for path in (plain, gzipped):
        with InputFile(path) as lines:
            assert list(lines) == [b"one", b"two", b"", b"last"]
            assert lines.position == lines.size == path.stat().st_size


def test_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with InputFile(tmp_path / "empty") as lines:
        assert list(lines) == []


def test_missing_file_is_wrong_usage_and_damaged_file_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*: No such file"):
        InputFile(tmp_path / "nothing.jsonl")
    with pytest.raises(ConfigurationError, match=r"cannot read .*: Is a directory"):
        InputFile(tmp_path)
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(b"line\n" * 100_000)[:-200])
    with InputFile(cut) as lines, pytest.raises(ChurnSignalsError, match=r"damaged after line \d+"):
        list(lines)


@pytest.mark.parametrize("write", [bytes, gzip.compress])
def test_a_line_without_end_is_a_failure_that_names_it(tmp_path: Path, write: Callable[[bytes], bytes]) -> None:
    """Rule: no file is read into memory because it has no line ends, however well it is compressed."""
    long = tmp_path / "long"
    long.write_bytes(write(b"one\n" + b"x" * LINE_MAX_BYTES + b"\n" + bytes(LINE_MAX_BYTES + 2)))
    with InputFile(long) as lines:
        found = iter(lines)
        assert [len(next(found)), len(next(found))] == [3, LINE_MAX_BYTES]
        with pytest.raises(ChurnSignalsError, match=r"line 3 has more than 16,777,216 bytes. Write one event per line"):
            next(found)


def test_dash_reads_standard_input() -> None:
    script = "from streams.input_file import InputFile\nfor line in InputFile('-'): print(line)"
    for given in (b"a\nb\n", gzip.compress(b"a\nb\n")):
        ran = subprocess.run([sys.executable, "-c", script], input=given, capture_output=True, timeout=60, check=True)
        assert ran.stdout.split() == [b"b'a'", b"b'b'"]


def test_progress_is_silent_where_standard_error_is_not_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("reading", 10) as bar:
        bar.advance_to(5, "3 customers")
    assert capsys.readouterr() == ("", "")
    with ProgressBar("reading", 10, shown=True) as bar:
        bar.advance_to(5, "3 customers")
    out, err = capsys.readouterr()
    assert out == ""
    assert err

"""The wheel works outside the checkout, and its processes import nothing from the working directory."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.paths import ROOT

# The product's packages, a dependency, and a standard library module that every process imports late.
HOSTILE = ("models", "streams", "numpy", "tomllib")
STARTS_EXPLAIN_PROCESS = """
import asyncio, time
from streams.scoring.explain_process import Explainer
explainer = Explainer()
until = time.monotonic() + 20
while not explainer.available():
    assert time.monotonic() < until, "the explain process did not start"
    time.sleep(0.02)
asyncio.run(explainer.stop())
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that must succeed, and return its standard output."""
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONSAFEPATH"}}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create an environment with the wheel and this environment's dependencies, without a network; return its `bin`."""
    here = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", here, ROOT, cwd=here)
    [wheel] = here.glob("*.whl")
    venv = here / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=here)
    run(*pip, "--python", venv, "install", "--no-deps", "--no-index", wheel, cwd=here)
    # The dependencies come from this environment. It also has an editable install, but Python ignores .pth files in a
    # directory that was added by a .pth file, so the product's packages come from the wheel.
    [site] = venv.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return venv / "bin"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Create a working directory with modules that write a marker file when imported."""
    for name in HOSTILE:
        marker = f"open({str(tmp_path / name)!r} + '.imported', 'w')\nraise SystemExit(3)\n"
        (tmp_path / f"{name}.py").write_text(marker, encoding="utf-8")
    shutil.copy(ROOT / "churn.toml", tmp_path)
    return tmp_path


def imported(directory: Path) -> list[str]:
    """Return the hostile modules that were imported."""
    return sorted(path.name for path in directory.glob("*.imported"))


def test_packages_come_from_the_wheel(installed: Path, hostile: Path) -> None:
    program = "import models, streams; print(models.__file__, streams.__file__)"
    for file in run(installed / "python", "-P", "-c", program, cwd=hostile).split():
        assert Path(file).is_relative_to(installed.parent)


def test_commands_import_nothing_from_the_working_directory(installed: Path, hostile: Path) -> None:
    """Rule: every command runs the installed code, whatever the working directory."""
    command = installed / "churn-signals"
    assert "backtest" in run(command, "--help", cwd=hostile)
    assert "horizon" in run(command, "config", cwd=hostile)
    run(command, "simulate", "--customers", "30", "--days", "90", "--out", "events.jsonl.gz", cwd=hostile)
    run(command, "backtest", "events.jsonl.gz", "--json", "report.json", cwd=hostile)
    assert json.loads((hostile / "report.json").read_text(encoding="utf-8"))
    assert imported(hostile) == []


def test_explain_process_imports_nothing_from_the_working_directory(installed: Path, hostile: Path) -> None:
    """Setup: the process is started as by a worker. Rule: it runs the installed code and becomes available."""
    run(installed / "python", "-P", "-c", STARTS_EXPLAIN_PROCESS, cwd=hostile)
    assert imported(hostile) == []


def test_every_python_child_is_started_with_safe_path() -> None:
    """Rule: wherever the product starts Python, `-P` follows `sys.executable`."""
    starts = 0
    for path in [*ROOT.glob("streams/**/*.py"), *ROOT.glob("models/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            arguments = node.args if isinstance(node, ast.Call) else getattr(node, "elts", [])
            for program, option in zip_longest(arguments, arguments[1:]):
                if ast.unparse(program) == "sys.executable":
                    starts += 1
                    assert isinstance(option, ast.Constant), path
                    assert option.value == "-P", path
    assert starts >= 2

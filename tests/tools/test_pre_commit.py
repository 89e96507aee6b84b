"""The hooks of .pre-commit-config.yaml are the checks of `make lint`."""

from __future__ import annotations

import re

import yaml

from tests.paths import ROOT

REPOSITORIES = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]


def test_hooks_are_the_checks_of_make_lint() -> None:
    """Rule: a commit that the hooks accept passes `make lint`, and the other way round."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = re.search(r"^lint:(.*?)##(?:.*)\n(.*)$", makefile, re.MULTILINE)
    assert lint is not None
    assert lint[2] == "", "`make lint` runs a command that is no target of its own"
    hooks = [hook for repository in REPOSITORIES for hook in repository["hooks"]]
    assert [hook["entry"] for hook in hooks] == [f"make --silent {target}" for target in lint[1].split()]


def test_hooks_need_no_network() -> None:
    assert [repository["repo"] for repository in REPOSITORIES] == ["local"]
    assert {hook["language"] for hook in REPOSITORIES[0]["hooks"]} == {"system"}


def test_hooks_check_the_whole_project() -> None:
    """Rule: as `make lint` does; a change of one file can break the types or the layers of another."""
    for hook in REPOSITORIES[0]["hooks"]:
        assert (hook["pass_filenames"], hook["always_run"]) == (False, True), hook["id"]

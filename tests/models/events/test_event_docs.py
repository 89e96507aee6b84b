"""docs/events.md is under test: its examples decode, its reasons and limits are the program's."""

from __future__ import annotations

import re

import pytest

from models.events.event import MAX_ID_BYTES, MAX_NAME_CHARS, Event, decode
from models.events.rejection import MAX_DEPTH, MAX_EVENT_BYTES, MAX_PROPERTIES, REASONS
from models.events.taxonomy import CONTROL_EVENTS, MEANINGS, meaning
from streams.kafka.control_signature import SIGNATURE, ControlSignatures
from streams.settings import Settings
from tests.paths import DOCS

PAGE = (DOCS / "events.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^### (\w+)\n.*?```jsonl\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
LINES = [line for _, lines in SECTIONS for line in lines.splitlines()]
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL) + LINES


def section(heading: str) -> str:
    """The text under one heading."""
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_json_example_decodes(example: str) -> None:
    """What the page shows is accepted as it stands, from a file and from a record."""
    for timestamp_ms in (1_741_599_010_000, None):
        if timestamp_ms is None and '"time' not in example:
            continue
        decoded = decode(example.encode(), [], timestamp_ms)
        assert isinstance(decoded, Event), decoded
        assert not decoded.clamped


def test_every_family_has_examples_of_its_own_events() -> None:
    """One section per family; an unlisted name is activity."""
    shown = {
        title.lower(): [decode(line.encode(), [], None) for line in lines.splitlines()] for title, lines in SECTIONS
    }
    assert set(shown) == {row.family for row in MEANINGS.values()}
    for family, events in shown.items():
        assert {meaning(event.name).family for event in events if isinstance(event, Event)} == {family}


def test_documented_effects_of_an_event_match_its_reason() -> None:
    """A few that readers will look for, as the page has them."""
    rows = dict(re.findall(r"^\| `([A-Z][\w ]+)` \| (.*)$", section("Event effects"), re.MULTILINE))
    for name, words in (
        ("Payment Failed", "`dunning_open`"),
        ("Subscription Cancel Scheduled", "`CANCEL_INTENT`"),
        ("Ticket Created", "`barriers`"),
        ("Subscription Started", "`value.mrr`"),
        ("Report Shared", "activity"),
    ):
        assert words in rows[name]
    assert "activity" not in rows["Payment Failed"]


def test_there_is_an_example_of_every_type() -> None:
    """All six types and a CloudEvent are shown."""
    for kind in ("track", "identify", "page", "screen", "group", "alias"):
        assert any(f'"type": "{kind}"' in example for example in EXAMPLES), kind
    assert any("specversion" in example for example in EXAMPLES)


def _printed(snippet: str) -> tuple[list[object], dict[str, object]]:
    """Run a snippet; return what it prints, and its names."""
    printed: list[object] = []
    names: dict[str, object] = {"print": lambda *values: printed.extend(values)}
    exec(snippet, names)
    return printed, names


def test_python_examples_run() -> None:
    """The snippet that checks an event prints an event. The other one prints a signature that workers accept."""
    check, sign = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert isinstance(_printed(check)[0][0], Event)
    (label, signature), names = _printed(sign)
    signatures = ControlSignatures(Settings(control_secret=str(names["secret"])))
    assert str(label) == f"{SIGNATURE}:"
    assert isinstance(names["value"], bytes)
    assert signatures.accepts(names["value"], [(SIGNATURE, str(signature).encode())])


def test_every_control_event_is_named() -> None:
    names = re.sub(r"\s+", " ", PAGE.split("### Control events")[1].split(":")[1].split(".")[0])
    assert set(re.findall(r"`(.+?)`", names)) == CONTROL_EVENTS


def test_every_reason_is_documented() -> None:
    """The table has one row for each reason, in the program's order, and no other."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", section("Rejection reasons"), re.MULTILINE)
    assert [name for name, _, _ in rows] == list(REASONS)


def test_limits_are_the_program_s() -> None:
    """The figures of the page are the constants of the code."""
    limits = section("Limits")
    for limit in (MAX_EVENT_BYTES, MAX_DEPTH, MAX_PROPERTIES, MAX_ID_BYTES, MAX_NAME_CHARS):
        assert re.search(rf"\| {limit:,}\b", limits), limit
    assert f"{MAX_EVENT_BYTES:,} bytes" in section("Rejection reasons")

"""The examples in docs/events.md decode, and its reasons and limits match the code."""

from __future__ import annotations

import re

import pytest

from models.events.event import MAX_ID_BYTES, MAX_NAME_CHARS, Event, decode
from models.events.rejection import MAX_DEPTH, MAX_EVENT_BYTES, MAX_PROPERTIES, REASONS
from models.events.taxonomy import MEANINGS, meaning
from tests.paths import DOCS

PAGE = (DOCS / "events.md").read_text(encoding="utf-8")
STORIES = re.findall(r"^### (\w+)\n.*?```jsonl\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
LINES = [line for _, story in STORIES for line in story.splitlines()]
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL) + LINES


def section(heading: str) -> str:
    """The text under one heading."""
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_json_example_decodes(example: str) -> None:
    """Rule: each JSON example of the page is accepted unchanged, from a file and from a record."""
    for timestamp_ms in (1_741_599_010_000, None):
        if timestamp_ms is None and '"time' not in example:
            continue
        decoded = decode(example.encode(), [], timestamp_ms)
        assert isinstance(decoded, Event), decoded
        assert not decoded.clamped


def test_every_family_has_a_story_of_its_own_events() -> None:
    """Rule: each family has one section with its own events; an unlisted event name is activity."""
    by_family = {
        title.lower(): [decode(line.encode(), [], None) for line in story.splitlines()] for title, story in STORIES
    }
    assert set(by_family) == {row.family for row in MEANINGS.values()}
    for family, events in by_family.items():
        assert {meaning(event.name).family for event in events if isinstance(event, Event)} == {family}


def test_page_links_events_to_the_outputs_they_enable() -> None:
    """Rule: the rows of well-known events name the field or reason code that the event enables."""
    rows = dict(re.findall(r"^\| `([A-Z][\w ]+)` \| (.*)$", section("What each event buys"), re.MULTILINE))
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
    """Rule: the page shows all six call types and a CloudEvent."""
    for kind in ("track", "identify", "page", "screen", "group", "alias"):
        assert any(f'"type": "{kind}"' in example for example in EXAMPLES), kind
    assert any("specversion" in example for example in EXAMPLES)


def test_python_example_runs() -> None:
    """Rule: the snippet for checking an event prints an event."""
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    printed: list[object] = []
    exec(snippet, {"print": printed.append})
    assert isinstance(printed[0], Event)


def test_every_reason_is_documented() -> None:
    """Rule: the table has exactly one row per reason, in the order of the code."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", section("Why an event is refused"), re.MULTILINE)
    assert [name for name, _, _ in rows] == list(REASONS)


def test_documented_limits_match_the_code() -> None:
    """Rule: the limits on the page are the constants of the code."""
    limits = section("Limits")
    for limit in (MAX_EVENT_BYTES, MAX_DEPTH, MAX_PROPERTIES, MAX_ID_BYTES, MAX_NAME_CHARS):
        assert re.search(rf"\| {limit:,}\b", limits), limit
    assert f"{MAX_EVENT_BYTES:,} bytes" in section("Why an event is refused")

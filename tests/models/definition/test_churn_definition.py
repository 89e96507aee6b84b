"""The churn definition: what a file means, what it looks like with its defaults, and how a wrong one is refused."""

from __future__ import annotations

import re
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.definition.churn_definition import (
    ALERT_KEYS,
    ChurnDefinition,
    DefinitionError,
    EventDefinition,
    InactivityDefinition,
    matches,
)
from models.definition.competing_risks import Involuntary
from models.definition.toml_table import write_key, write_value
from models.definition.value_settings import DEFAULTS
from models.duration import DAY_MS, HOUR_MS, MINUTE_MS, format_duration, parse_duration
from tests.paths import ROOT

VOLUNTARY = '[churn.definitions.voluntary]\nevent = "Subscription Cancelled"\n'
SILENT = '[churn.definitions.silent]\nnot_performed = ["*"]\n'


def test_the_default_file_is_read_as_written() -> None:
    churn = ChurnDefinition.parse((ROOT / "churn.toml").read_text())
    assert churn.named("voluntary") == EventDefinition(
        "voluntary", "Subscription Cancelled", (("reason", ("cancellation_requested",)),), "voluntary"
    )
    assert churn.named("inactivity") == InactivityDefinition("inactivity", ("*",), 30 * DAY_MS, 30 * DAY_MS)
    assert churn.primary == ("inactivity", "voluntary")
    assert (churn.horizon_ms, churn.grace_ms) == (30 * DAY_MS, 2 * DAY_MS)
    assert churn.release_after_ms == 32 * DAY_MS
    assert (churn.snapshot_every_ms, churn.score_every_ms) == (7 * DAY_MS, HOUR_MS)
    assert churn.eligibility == (churn.named("inactivity"),)
    assert churn.involuntary == Involuntary(("involuntary",), 14 * DAY_MS)


def test_the_two_benchmark_files_say_what_the_benchmarks_measure() -> None:
    oulad = ChurnDefinition.parse((ROOT / "benchmarks/quality/oulad.toml").read_text())
    assert oulad.primary_definitions == (EventDefinition("voluntary", "Subscription Cancelled"),)
    assert (oulad.horizon_ms, oulad.grace_ms, oulad.snapshot_every_ms) == (14 * DAY_MS, 2 * DAY_MS, 7 * DAY_MS)
    assert oulad.eligibility == ()
    cdnow = ChurnDefinition.parse((ROOT / "benchmarks/quality/cdnow.toml").read_text())
    assert cdnow.primary_definitions == (
        InactivityDefinition("inactivity", ("Order Completed",), 90 * DAY_MS, 180 * DAY_MS),
    )
    assert (cdnow.horizon_ms, cdnow.grace_ms, cdnow.snapshot_every_ms) == (90 * DAY_MS, 2 * DAY_MS, 28 * DAY_MS)


def test_what_is_left_out_has_a_default_that_the_printed_form_shows() -> None:
    churn = ChurnDefinition.parse(VOLUNTARY)
    written = tomllib.loads(churn.to_toml())
    assert written["churn"]["version"] == 1
    assert written["churn"]["definitions"]["voluntary"]["kind"] == "voluntary"
    assert written["label"] == {"primary": ["voluntary"], "horizon": "30d", "grace": "2d"}
    assert written["snapshot"] == {"every": "7d"}
    assert written["score"] == {"every": "1h"}
    assert written["population"] == {"half_life": "3d"}
    assert ChurnDefinition.parse(churn.to_toml()) == churn


def test_every_definition_is_primary_unless_some_are_named() -> None:
    assert ChurnDefinition.parse(VOLUNTARY + SILENT + 'for = "30d"').primary == ("silent", "voluntary")
    churn = ChurnDefinition.parse(VOLUNTARY + SILENT + 'for = "90d"\n[label]\nprimary = "voluntary"')
    assert churn.primary == ("voluntary",)
    assert churn.eligibility == (), "a definition that is not primary makes nobody eligible"


def test_a_definition_named_involuntary_is_of_that_kind_unless_it_says_otherwise() -> None:
    text = '[churn.definitions.involuntary]\nevent = "Subscription Cancelled"\n'
    assert ChurnDefinition.parse(text).named("involuntary").kind == "involuntary"
    assert ChurnDefinition.parse(text + 'kind = "voluntary"').named("involuntary").kind == "voluntary"
    assert ChurnDefinition.parse(SILENT + 'for = "30d"').named("silent").kind == "inactivity"


def test_order_and_spelling_of_a_file_do_not_change_its_hash() -> None:
    one = ChurnDefinition.parse(VOLUNTARY + 'where = { reason = ["b", "a", "b"], plan = "x" }\n[label]\nhorizon = "2w"')
    two = ChurnDefinition.parse(
        '[label]\nhorizon = "14d"\nprimary = "voluntary"\n'
        + VOLUNTARY
        + 'where = { plan = ["x"], reason = ["a", "b"] }'
    )
    assert one == two
    assert one.hash == two.hash
    assert re.fullmatch(r"[0-9a-f]{12}", one.hash)
    assert one.hash != ChurnDefinition.parse(VOLUNTARY).hash


def test_the_hash_of_a_known_definition_stays_what_it_was() -> None:
    """Scores and labels in topics carry it: a change of the printed form would orphan them."""
    assert ChurnDefinition.parse(VOLUNTARY).hash == "50447a08214d"


def test_what_value_is_made_of_is_read_printed_and_counts_where_it_is_not_the_default() -> None:
    """Rule: the same settings give the same hash; parameters come back as they were written; labels do not change."""
    base = ChurnDefinition.parse(VOLUNTARY)
    assert base.value == DEFAULTS
    assert ChurnDefinition.parse(VOLUNTARY + "[value]\nmargin = 1\nmonths = 36").hash == base.hash
    given = VOLUNTARY + (
        "[value]\nmargin = 0.8\npurchases = { r = 0.25, alpha_weeks = 4.8, a = 0.7, b = 2 }\n"
        "order_value = { p = 6.25, q = 3.74, gamma = 15.44 }"
    )
    other = ChurnDefinition.parse(given)
    assert (other.value.purchases, other.value.order_value) == ((0.25, 4.8, 0.7, 2.0), (6.25, 3.74, 15.44))
    assert ChurnDefinition.parse(other.to_toml()) == other
    assert other.hash != base.hash
    assert (other.label_hash, other.state_hash) == (base.label_hash, base.state_hash)


def test_how_long_profiles_are_kept_counts_only_where_it_is_not_the_default() -> None:
    """Rule: it is younger than the hashes in topics; who sets it has another hash, and the same state and labels."""
    base = ChurnDefinition.parse(VOLUNTARY)
    assert (base.profile_after_ms, base.anonymous_after_ms) == (400 * DAY_MS, 90 * DAY_MS)
    assert ChurnDefinition.parse(VOLUNTARY + '[profile]\nafter = "400d"\nanonymous_after = "90d"').hash == base.hash
    for text in ('after = "500d"', 'anonymous_after = "30d"'):
        other = ChurnDefinition.parse(f"{VOLUNTARY}[profile]\n{text}")
        assert other.hash != base.hash
        assert (other.state_hash, other.label_hash) == (base.state_hash, base.label_hash)
        assert ChurnDefinition.parse(other.to_toml()) == other


def test_only_what_changes_a_label_changes_the_label_hash() -> None:
    base = ChurnDefinition.parse(VOLUNTARY)
    for same in ('[score]\nevery = "2h"', "[alerts]\nenter = 0.5", '[population]\nhalf_life = "7d"'):
        other = ChurnDefinition.parse(VOLUNTARY + same)
        assert other.hash != base.hash
        assert other.label_hash == base.label_hash
    for different in ('where = { reason = "x" }', '[label]\nhorizon = "7d"', '[label]\ngrace = "0d"'):
        assert ChurnDefinition.parse(VOLUNTARY + different).label_hash != base.label_hash


def test_an_event_matches_by_name_and_allowed_property_values() -> None:
    text = VOLUNTARY + 'where = { reason = ["asked", "unused"], seats = 1, paid = true }'
    voluntary = ChurnDefinition.parse(text).named("voluntary")
    good = {"reason": "asked", "seats": 1, "paid": True}
    assert matches(voluntary, "Subscription Cancelled", good)
    assert not matches(voluntary, "Subscription Started", good)
    for wrong in ({"reason": "x"}, {"reason": ["asked"]}, {"seats": "1"}, {"seats": True}, {"paid": 1}, {"paid": None}):
        assert not matches(voluntary, "Subscription Cancelled", good | wrong), wrong
    assert not matches(voluntary, "Subscription Cancelled", {})


def test_activity_is_any_event_or_one_of_the_named() -> None:
    anything = ChurnDefinition.parse(SILENT + 'for = "30d"').named("silent")
    orders = InactivityDefinition("silent", ("Order Completed",), DAY_MS, DAY_MS)
    assert matches(anything, "page", {})
    assert matches(orders, "Order Completed", {})
    assert not matches(orders, "page", {})


def test_definitions_are_found_by_the_name_of_their_event() -> None:
    churn = ChurnDefinition.parse(
        VOLUNTARY + '[churn.definitions.involuntary]\nevent = "Subscription Cancelled"\nwhere = { reason = "unpaid" }'
    )
    assert [d.name for d in churn.by_event["Subscription Cancelled"]] == ["involuntary", "voluntary"]
    assert "page" not in churn.by_event


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [("30d", 30 * DAY_MS), ("12h", 12 * HOUR_MS), ("90m", 90 * MINUTE_MS), ("2w", 14 * DAY_MS), ("45s", 45_000)],
)
def test_durations_are_a_whole_number_and_a_unit(written: str, milliseconds: int) -> None:
    assert parse_duration(written) == milliseconds
    assert parse_duration(format_duration(milliseconds)) == milliseconds


REFUSED = {
    "": ["churn.definitions must have at least one definition"],
    "[churn.definitions]\nvoluntary = 3": ["churn.definitions.voluntary = 3", "must be a table"],
    "churn = 3": ["churn = 3", "must be a table", "version, definitions"],
    "chrun = 3\n" + VOLUNTARY: ["chrun = 3", "did you mean churn"],
    "[churn]\nversion = true\n" + VOLUNTARY: ["churn.version = true", "whole number from 1"],
    "[churn]\nversion = -1\n" + VOLUNTARY: ["churn.version = -1", "whole number from 1"],
    '[churn.definitions.Big]\nevent = "X"': ["churn.definitions.Big", "lower-case"],
    "[churn.definitions.voluntary]": ["churn.definitions.voluntary", "either event or not_performed"],
    '[churn.definitions.voluntary]\nevent = ""': ['voluntary.event = ""', "not empty"],
    "[churn.definitions.voluntary]\nevent = 7": ["voluntary.event = 7", "text"],
    VOLUNTARY + "where = 3": ["voluntary.where = 3", "table"],
    VOLUNTARY + "where = { reason = [] }": ["where.reason = []", "at least one"],
    VOLUNTARY + "where = { reason = [[1]] }": ["where.reason = [[1]]", "text, number or true/false"],
    VOLUNTARY + "where = { seats = nan }": ["where.seats = NaN", "text, number or true/false"],
    VOLUNTARY + "where = { seats = 0x" + "f" * 5_000 + " }": ["where.seats", "text, number or true/false"],
    VOLUNTARY + 'kind = "forced"': ['kind = "forced"', "voluntary or involuntary"],
    VOLUNTARY + 'not_performed = ["*"]': ['event = "Subscription Cancelled"', "one of them"],
    VOLUNTARY + 'for = "3d"': ['voluntary.for = "3d"', "only where and kind"],
    SILENT: ["silent.for is missing", '"30d"'],
    SILENT + 'for = "0d"': ['silent.for = "0d"', "longer than 0"],
    SILENT + 'for = "30d"\nwhere = { a = 1 }': ["silent.where = a table", "only for and if_active_in"],
    '[churn.definitions.silent]\nnot_performed = ["*", "page"]\nfor = "3d"': ['["*", "page"]', "list of event names"],
    '[churn.definitions.silent]\nnot_performed = []\nfor = "3d"': ["not_performed = []", "at least one"],
    '[churn.definitions.silent]\nnot_performed = [""]\nfor = "3d"': ['not_performed = [""]', "at least one"],
    SILENT + 'for = "31d"': ['label.horizon = "30d"', 'silent.for = "31d"'],
    VOLUNTARY + '[label]\nhorizn = "30d"': ['label.horizn = "30d"', "did you mean horizon"],
    VOLUNTARY + "[label]\nhorizon = 30": ["label.horizon = 30", 'such as "30d"'],
    VOLUNTARY + '[label]\nhorizon = "30 days"': ['label.horizon = "30 days"', "units s, m, h, d, w"],
    VOLUNTARY + '[label]\nhorizon = "0d"': ['label.horizon = "0d"', "longer than 0"],
    VOLUNTARY + '[label]\nhorizon = "9999w"': ['label.horizon = "9999w"', "3660d"],
    VOLUNTARY + '[label]\ngrace = "-2d"': ['label.grace = "-2d"', "negative"],
    VOLUNTARY + '[label]\nprimary = ["volontary"]': ['"volontary"', "did you mean voluntary", "allowed: voluntary"],
    VOLUNTARY + "[label]\nprimary = []": ["label.primary = []", "at least one"],
    VOLUNTARY + "[snapshot]\nevery = 1979-05-27": ["snapshot.every = 1979-05-27", "duration"],
    VOLUNTARY + '[snapshot]\nevery = "0d"': ['snapshot.every = "0d"', "longer than 0"],
    VOLUNTARY + '[score]\nevery = ""': ['score.every = ""', "duration"],
    VOLUNTARY + '[population]\nhalflife = "1d"': ["population.halflife", "did you mean half_life"],
    VOLUNTARY + "[value]\nmargin = 0": ["value.margin = 0", "above 0 to 1"],
    VOLUNTARY + "[value]\ndiscount = -0.1": ["value.discount", "from 0 to 10"],
    VOLUNTARY + "[value]\nmonths = 121": ["value.months", "from 1 to 120"],
    VOLUNTARY + "[value]\nchurn = true": ["value.churn", "a number above 0 to 0.95"],
    VOLUNTARY + "[value]\nclv = 1": ["value.clv", "allowed are margin, discount, months, churn"],
    VOLUNTARY + "[value]\norder_value = { p = 1, q = 2 }": ["value.order_value.gamma is missing"],
    VOLUNTARY + "[value]\norder_value = { p = 1, q = 1, gamma = 3 }": ["value.order_value.q = 1", "above 1"],
    VOLUNTARY + "[value]\npurchases = 3": ["value.purchases", "keys r, alpha_weeks, a, b"],
    VOLUNTARY + '[profile]\nafter = "0d"': ["profile.after", "longer than 0"],
    VOLUNTARY + '[profile]\nforget = "9d"': ["profile.forget", "allowed are after, anonymous_after"],
    VOLUNTARY + "[alerts]\nenter = 2": ["alerts.enter = 2", "from 0 to 1", "top 5%"],
    VOLUNTARY + "[alerts]\nenter = true": ["alerts.enter = true", "from 0 to 1"],
    VOLUNTARY + '[alerts]\nenter = "top 0%"': ['alerts.enter = "top 0%"', "top 5%"],
    VOLUNTARY + '[alerts]\nenter = "5%"': ['alerts.enter = "5%"', "top 5%"],
    VOLUNTARY + "[alerts]\nenter = 0.2\nexit = 0.3": ["alerts.exit = 0.3", "stricter than enter"],
    VOLUNTARY + '[alerts]\nhigh = "top 3%"\ncritical = "top 4%"': ['alerts.high = "top 3%"', "than critical"],
    VOLUNTARY + "[alerts]\nlift = 0.5": ["alerts.lift = 0.5", "from 1 to 100"],
    VOLUNTARY + '[alerts]\nexpire = "0d"': ['alerts.expire = "0d"', "longer than 0"],
    VOLUNTARY + "[alerts]\nentr = 0.2": ["alerts.entr = 0.2", "did you mean enter"],
    VOLUNTARY + "[alerts]\ndwell = 3": ["alerts.dwell = 3", "duration"],
    '[churn]\n\nversion = "1': ["line 3 is not valid TOML", "version = "],
    "[churn]\nversion 1": ["line 2 is not valid TOML", "version 1"],
    "[churn]\nversion = 1\nversion = 2": ["line 3 is not valid TOML"],
    "a = " + "1" * 5_000: ["4,300 digits"],
    "a = " + "[" * 100_000: ["nested too deeply"],
    "a = '\ud800'": ["not UTF-8"],
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[-40:]))
def test_a_wrong_file_is_refused_by_one_sentence_that_names_key_value_and_what_is_allowed(text: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        ChurnDefinition.parse(text)
    message = str(caught.value)
    for part in REFUSED[text]:
        assert part in message
    assert message.endswith(".")
    assert "\n" not in message
    assert ". " not in message, "one sentence"
    assert len(message) < 300


@pytest.mark.law
@settings(max_examples=150, deadline=None)
@given(st.text() | st.text("[]{}=\"',.#\n -_0123456789abcdefor\\tu", max_size=60))
def test_no_text_raises_anything_but_a_definition_error(text: str) -> None:
    for candidate in (text, VOLUNTARY + text, VOLUNTARY + "where = { reason = " + text + " }"):
        try:
            churn = ChurnDefinition.parse(candidate)
        except DefinitionError:
            continue
        assert ChurnDefinition.parse(churn.to_toml()) == churn


SPANS = st.integers(1, 3_000).map(lambda n: f"{n}h")
SCALARS = (
    st.text(max_size=8)
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
)
NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)


@pytest.mark.law
@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        NAMES,
        st.dictionaries(st.text(min_size=1, max_size=8), st.lists(SCALARS, min_size=1, max_size=4), max_size=3),
        min_size=1,
        max_size=3,
    ),
    st.tuples(SPANS, SPANS, SPANS),
    st.text(min_size=1).filter(str.strip),
)
def test_the_printed_form_of_any_definition_reads_back_equal(
    where: dict[str, dict[str, list[object]]], spans: tuple[str, str, str], event: str
) -> None:
    lines = []
    for name, properties in where.items():
        pairs = ", ".join(f"{write_key(key)} = {write_value(values)}" for key, values in properties.items())
        lines += [f"[churn.definitions.{name}]", f"event = {write_value(event)}", f"where = {{ {pairs} }}"]
    lines += ["[label]", f'horizon = "{spans[0]}"', f'grace = "{spans[1]}"', "[alerts]", f'dwell = "{spans[2]}"']
    churn = ChurnDefinition.parse("\n".join(lines))
    again = ChurnDefinition.parse(churn.to_toml())
    assert again == churn
    assert (again.hash, again.label_hash) == (churn.hash, churn.label_hash)


def test_every_alert_key_has_a_check() -> None:
    assert all(callable(check) for check in ALERT_KEYS.values())


def test_alert_thresholds_are_probabilities_or_shares_and_print_as_written() -> None:
    churn = ChurnDefinition.parse(VOLUNTARY + '[alerts]\nenter = "top 5.0 %"\nexit = 0\nlift = 2\ndwell = "24h"')
    assert dict(churn.alerts) == {"enter": "top 5%", "exit": 0.0, "lift": 2.0, "dwell": "1d"}
    assert ChurnDefinition.parse(churn.to_toml()) == churn

"""notify.toml: valid routes, one sentence per error, and no secrets in any output."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from models.definition.toml_table import DefinitionError
from streams.cli.main import main
from streams.logs import formatter
from streams.notify import filter, routes, template
from streams.notify.filter import Filter
from streams.notify.routes import KEYS, RetryPolicy, parse_routes
from streams.notify.template import SAMPLE, BodyTemplate, TemplateError
from streams.settings import MASK, Settings
from tests.streams.notify.receiver import records
from tools.docs import DOCS

KEY = "whsec_" + "c2VjcmV0" * 4
ENVIRONMENT = {"DESK": KEY, "OLD": "b2xk" * 8, "HOOK": "https://hooks.example.com/T0/s3cr3t", "LOGIN": "Bearer s3cr3t"}
GOOD = """\
[routes.desk]
url = "https://desk.example.com/churn"
secret_from = ["DESK", "OLD"]
types = ["opened", "resolved"]
band = "high"
first_wait = "2s"
[routes.desk.headers_from]
Authorization = "LOGIN"
[routes.chat]
url_from = "HOOK"
unsigned = true
[routes.chat.body]
text = "{{ customer.id }}: {{ '%.0f' | format(100 * score.probability) }}%"
"""


@pytest.mark.parametrize("module", [template, filter, routes], ids=lambda module: module.__name__)
def test_docstring_examples_are_correct(module: object) -> None:
    """Rule: every doctest passes."""
    ran = doctest.testmod(module)  # type: ignore[arg-type]
    assert ran.attempted > 0
    assert ran.failed == 0


def test_valid_file_is_parsed() -> None:
    """Rule: omitted keys have their defaults. No representation of a route contains a secret."""
    desk, chat = parse_routes(GOOD, ENVIRONMENT)
    assert desk.filter == Filter(types=("opened", "resolved"), band=2)
    assert (desk.retry.first_wait_s, desk.retry.longest_wait_s, desk.retry.tries, desk.start) == (2.0, 300.0, 20, "now")
    assert (len(desk.keys), desk.headers, desk.body) == (2, {"Authorization": "Bearer s3cr3t"}, None)
    assert chat.url == ENVIRONMENT["HOOK"]
    assert chat.body is not None
    assert json.loads(chat.body.render(SAMPLE)) == {"text": "c-1042: 25%"}
    for text in (repr(desk), repr(chat), desk.summary, chat.summary, str([desk, chat])):
        assert not any(secret in text for secret in (*ENVIRONMENT.values(), "s3cr3t", "secret"))
    assert chat.summary == f"chat: {MASK}, unsigned, body template"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[routes.desk]", "[route.desk]", r"route = a table is not a known key: did you mean routes"),
        ("[routes.desk", "[routes.Desk", r"a route's name = \"Desk\" is wrong: it must be 1 to 31 lower-case letters"),
        ("band =", "bant =", r"routes.desk.bant = \"high\" is not a known key: did you mean band"),
        ('"high"', '"hi"', r"routes.desk.band = \"hi\" is wrong: it must be one of low, elevated, high, critical"),
        ('band = "high"', 'route = "desk"', r"routes.desk.route = \"desk\" is wrong: it must be one of billing"),
        ('"opened"', '"open"', r"routes.desk.types = \"open\" is wrong: it must be one of opened"),
        ('"2s"', "2", r"routes.desk.first_wait = 2 is wrong: it must be a duration in quotes"),
        ('"2s"', '"10m"\nlongest_wait = "1s"', r"longest_wait = \"1s\" is wrong: it must not be below first_wait"),
        ('"2s"', '"2s"\ntimeout = "1h"', r"routes.desk.timeout = \"1h\" is wrong: the maximum is 1m"),
        ('"2s"', '"2s"\ntries = 0', r"routes.desk.tries = 0 is wrong: it must be a whole number from 1 to 1000"),
        ('"2s"', '"2s"\nescape = "none"', r"routes.desk.escape applies to a body template"),
        ('"2s"', '"2s"\nmin_revenue_at_risk = "9"', r"min_revenue_at_risk = \"9\" is wrong: it must be a number"),
        ("https://desk.example.com", "http://desk.example.com", r"plain http to another machine.*allow_http = true"),
        ("https://desk.example.com", "https://10.0.0.8", r"of a private network: set allow_private = true"),
        ("https://desk.example.com", "http://localhost", r"address of this machine or of a private network"),
        ("https://desk.example.com", "ftp://desk.example.com", r"routes.desk.url must be a URL such as https"),
        ("https://desk.example.com", "https://desk.example.com:x", r"routes.desk.url must be a URL"),
        ("https://desk", "https://me:s3cr3t@desk", r"must not contain a user or password: set the header"),
        ('url = "', 'url_from = "HOOK"\nurl = "', r"must have either url, or url_from"),
        ('secret_from = ["DESK", "OLD"]', "", r"routes.desk must have either secret_from .*, or unsigned = true"),
        ("unsigned = true", "unsigned = 1", r"routes.chat.unsigned = 1 is wrong: it must be true or false"),
        ('"OLD"', '"LOGIN"', r"value of LOGIN, which routes.desk.secret_from names, is wrong: it must be whsec_"),
        ('"OLD"', '"NEW"', r"secret_from names the environment variable NEW, which is not set"),
        ('"OLD"', '"CHURN_X"', r"must be the name of an environment variable that does not begin with CHURN_"),
        ('"HOOK"', '"https://x/s3cr3t"', r"url_from must be the name of an environment variable"),
        ("Authorization", "Content-Type", r"this header name is reserved"),
        ("Authorization", "webhook-id", r"this header name is reserved"),
        ("customer.id", "customer.idd", r"chat.body: the body cannot be rendered: UndefinedError \(idd is undefined"),
        ("customer.id }}", "customer.id }", r"routes.chat.body: not a valid Jinja template: "),
        ("customer.id", "''.__class__", r"routes.chat.body: the body cannot be rendered: SecurityError"),
        ("[routes.chat.body]\ntext", "body", r"routes.chat.body = .* is wrong: it must be a table"),
        (GOOD, "", r"the file must have 1 to 32 tables"),
        ("[routes.desk]", "[routes.desk", r"line 1 is not valid TOML"),
    ],
)  # fmt: skip
def test_invalid_file_is_explained_in_one_sentence(old: str, new: str, message: str) -> None:
    """Rule: the message contains key, value and what is allowed, but never the value of an environment variable."""
    assert old in GOOD
    with pytest.raises(DefinitionError, match=message) as raised:
        parse_routes(GOOD.replace(old, new), ENVIRONMENT)
    assert not any(secret in str(raised.value) for secret in ENVIRONMENT.values())
    assert "\n" not in str(raised.value)


def test_signing_keys_have_24_to_64_bytes_of_base64() -> None:
    """Rule: the message does not quote the secret."""
    for secret, message in (
        ("whsec_c2hvcnQ=", "24 to 64 bytes and has 5"),
        ("not base64!", "whsec_ followed by base64"),
    ):
        with pytest.raises(DefinitionError, match=message) as raised:
            parse_routes(GOOD, {**ENVIRONMENT, "OLD": secret})
        assert secret not in str(raised.value)


def test_command_checks_the_file(tmp_path: Path) -> None:
    """Rule: --check lists the routes. A missing or invalid file exits with 2 and one sentence."""
    file = tmp_path / "notify.toml"
    environment = {**ENVIRONMENT, "CHURN_NOTIFY_ROUTES": str(file)}
    missing = CliRunner().invoke(main, ["notify"], env=environment)
    assert (missing.exit_code, missing.output.count("\n")) == (2, 1)
    assert (
        "notify.toml cannot be read: No such file or directory (set CHURN_NOTIFY_ROUTES to another file)"
        in missing.output
    )
    file.write_text(GOOD)
    good = CliRunner().invoke(main, ["notify", "--check"], env=environment)
    assert (good.exit_code, good.output.splitlines()[1]) == (0, f"chat: {MASK}, unsigned, body template")
    file.write_text(GOOD.replace("high", "hi"))
    wrong = CliRunner().invoke(main, ["notify", "--check"], env=environment)
    assert (wrong.exit_code, wrong.output.count("\n")) == (2, 1)
    assert f"{file}: routes.desk.band" in wrong.output


def test_logs_mask_secrets_of_routes() -> None:
    """Rule: also in lines of libraries."""
    import logging

    record = logging.LogRecord("aiohttp", logging.ERROR, "f", 1, "cannot post to %s", (ENVIRONMENT["HOOK"],), None)
    line = formatter(Settings(), terminal=True, secrets=[ENVIRONMENT["HOOK"]]).format(record)
    assert MASK in line
    assert "s3cr3t" not in line


# Filters and bodies --------------------------------------------------------------------------------------------------


def alert(**changes: Any) -> dict[str, Any]:
    return {**SAMPLE, **changes}


def test_each_condition_of_a_filter() -> None:
    """Rule: limits are inclusive. Missing and malformed fields meet no condition."""
    at_ms = 1_710_297_851_275
    for condition, good, bad in (
        (Filter(types=("opened",)), {}, {"type": "resolved"}),
        (Filter(band=2), {}, {"severity": "elevated"}),
        (Filter(band=2), {"severity": "critical"}, {"severity": "unknown"}),
        (Filter(route="billing"), {"route": "billing"}, {"route": "success"}),
        (Filter(reasons=("USAGE_DROP",)), {}, {"reasons": []}),
        (Filter(segments=("business",)), {}, {"customer": {"segment": None}}),
        (Filter(min_revenue_at_risk=12.03), {}, {"value": {"revenue_at_risk": 12.02}}),
        (Filter(min_revenue_at_risk=0), {}, {"value": {"revenue_at_risk": None}}),
        (Filter(max_age_ms=1_000), {"time": "2024-03-13T02:44:10.275Z"}, {"time": "2024-03-13T02:44:10.274Z"}),
        (Filter(max_age_ms=1_000), {}, {"time": "never"}),
    ):
        assert condition.matches(alert(**good), at_ms), condition
        assert not condition.matches(alert(**bad), at_ms), condition
        assert not condition.matches({}, at_ms), condition
        for odd in (7, "x", [7], {"x": 7}, True):
            assert not condition.matches(dict.fromkeys(SAMPLE, odd), at_ms), (condition, odd)
    assert Filter().matches({}, at_ms)
    assert Filter(route="success").matches({}, at_ms)  # written by a release without this field
    assert not Filter(route="success").matches({"route": "billing"}, at_ms)


def test_sample_for_templates_is_a_complete_alert() -> None:
    """Rule: it matches the published schema and has every field of a real alert."""
    schema = json.loads((DOCS / "schemas/alert.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(SAMPLE)

    def members(value: Any, path: str = "") -> set[str]:
        if isinstance(value, list):
            return members(value[0], path) if value else set()
        if not isinstance(value, dict):
            return set()
        return {path + name for name in value}.union(*(members(v, f"{path}{n}.") for n, v in value.items()))

    assert members(json.loads(records("c")[0].value)) - {"lineage.offset"} <= members(SAMPLE)


def test_values_cannot_break_out_of_a_body() -> None:
    """Rule: quotes and line breaks stay inside their string. Control characters of Slack or HTML are escaped."""
    hostile = alert(customer={"id": "\"}\n<!channel> & '\u202e"})
    assert json.loads(BodyTemplate({"text": "{{ customer.id }}"}).render(hostile)) == {
        "text": "\"}\n&lt;!channel&gt; &amp; '\u202e"
    }
    assert b"&#x27;" in BodyTemplate({"text": "{{ customer.id }}"}, "html").render(hostile)
    assert (
        json.loads(BodyTemplate({"text": "{{ customer.id }}"}, "none").render(hostile))["text"]
        == hostile["customer"]["id"]
    )
    odd: Any
    with pytest.raises(TemplateError, match="more than the limit of 131,072"):
        BodyTemplate({"text": "{{ 'x' * 200000 }}"}).render(hostile)
    for odd in (7, "x", [7], {}, None):
        with pytest.raises(TemplateError, match="the body cannot be rendered"):
            BodyTemplate({"text": "{{ reasons | map(attribute='code.x.y') | join }}{{ value.mrr.x }}"}).render(
                dict.fromkeys(SAMPLE, odd)
            )


def test_every_key_of_a_route_is_documented() -> None:
    """Rule: docs/alerts.md has exactly one row per key."""
    text = (DOCS / "alerts.md").read_text(encoding="utf-8").split("### Route settings")[1].split("\n## ")[0]
    rows = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert rows == list(KEYS)


def test_documented_retry_time_matches_the_defaults() -> None:
    """Rule: docs/alerts.md states the total wait in minutes."""
    waits = [
        min(RetryPolicy.longest_wait_s, RetryPolicy.first_wait_s * 2**number) for number in range(RetryPolicy.tries - 1)
    ]
    sentence = f"after {sum(waits) / 120:.0f} to {sum(waits) / 60:.0f} minutes of waiting"
    assert sentence in (DOCS / "alerts.md").read_text(encoding="utf-8")


def test_documented_routes_are_valid() -> None:
    """Rule: the examples of docs/alerts.md parse with the variables that they name."""
    text = (DOCS / "alerts.md").read_text(encoding="utf-8")
    examples = [part.split("```")[0] for part in text.split("```toml\n")[1:]]
    environment = {"DESK_KEY": KEY, "BILLING_KEY": KEY, "SLACK_URL": ENVIRONMENT["HOOK"]}
    parsed = [route for example in examples for route in parse_routes(example, environment)]
    assert [(route.name, route.filter.route) for route in parsed] == [
        ("desk", None),
        ("slack", None),
        ("billing", "billing"),
    ]
    assert parsed[1].body is not None
    assert "c-1042" in json.loads(parsed[1].body.render(SAMPLE))["text"]

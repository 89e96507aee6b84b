"""The documentation matches the program: nothing is missing, nothing generated is stale, no link is dead."""

from __future__ import annotations

import ast
import doctest
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from models.alerts.alert_action import AlertAction, action_of
from models.alerts.alert_state import STATES
from models.alerts.policy import TYPES
from models.definition.alert_keys import ALERT_KEYS
from models.definition.churn_definition import ChurnDefinition
from models.definition.event_mapping import MAPPING_KEYS
from models.definition.goals import GOAL_KEYS
from models.definition.named_definition import DEFINITION_KEYS
from models.definition.value_settings import KEYS as VALUE_KEYS
from models.events.event import Event, decode
from models.events.taxonomy import MEANINGS
from models.explanations.codes import CODES
from models.features.catalogue import FEATURES
from models.outputs.alert_record import alert_headers
from models.profile import keys as store
from streams.cli.lag import EXIT_CODES
from streams.cli.main import COMMANDS, main
from streams.engine import position
from streams.errors import ChurnSignalsError
from streams.kafka.model_reader import LABELS_OFFSET_HEADER, LABELS_TOPIC_HEADER
from streams.scoring import dead_letters
from streams.scoring.dead_letters import MISROUTED, PROCESSING_ERROR
from streams.scoring.event_router import FORWARDED, TIMESTAMP
from streams.settings import PREFIX, Settings, variable
from streams.topics import TOPICS, name_of
from tests.syntax_trees import syntax_tree
from tools.docs import DOCS, FILES, PAGES, alerts, asyncapi, commands, markdown, rewritten
from tools.docs import main as rewrite
from tools.docs.settings import GROUPS

ROOT = DOCS.parent
SKIPPED = {".venv", ".data", ".jgo", ".git", ".pytest_cache", "node_modules"}
MARKDOWN = sorted(
    path for path in (*ROOT.glob("*.md"), *ROOT.glob("*/**/*.md")) if not SKIPPED & set(path.relative_to(ROOT).parts)
)
VARIABLES = {name for name, _ in Settings().masked()}


def page(name: str) -> str:
    """A page of the documentation."""
    return (DOCS / name).read_text(encoding="utf-8")


def block(name: str, part: str) -> str:
    """The generated block of a page."""
    return page(name).split(f"<!-- generated: {part} -->")[1].split(f"<!-- end: {part} -->")[0]


def section(text: str, heading: str) -> str:
    """The text under a heading of the second level."""
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def cells(text: str) -> list[list[str]]:
    """Rows of the tables of a text, without their heads."""
    rows = [re.split(r"(?<!\\) ?\| ?", line.strip("| ")) for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if not row[0].startswith("---")]


def snippets(text: str, language: str) -> list[str]:
    """Code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("module", [markdown, alerts], ids=lambda module: module.__name__)
def test_doctests_pass(module: object) -> None:
    """Doctests are part of the documentation."""
    ran = doctest.testmod(module)  # type: ignore[arg-type]
    assert ran.attempted > 0
    assert ran.failed == 0


# Generated parts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PAGES))
def test_no_generated_part_is_stale(name: str) -> None:
    """If this fails: make docs."""
    assert rewritten(page(name), PAGES[name]) == page(name), "stale: run make docs"


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_generated_file_is_stale(name: str) -> None:
    """If this fails: make docs."""
    assert FILES[name]() == page(name), "stale: run make docs"


def test_contract_file_equals_the_contract_data() -> None:
    """No value changes its type in YAML."""
    assert yaml.safe_load(page("asyncapi.yaml")) == asyncapi.document()


def test_a_stale_page_is_rewritten_between_its_markers_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text around a generated block stays. A missing file that is generated as a whole is created."""
    for name in PAGES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(DOCS / name, tmp_path / name)
    stale = tmp_path / "features.md"
    good = stale.read_text(encoding="utf-8")
    stale.write_text(re.sub(r"^\| `recency_days`.*\n", "", good, flags=re.MULTILINE), encoding="utf-8")
    assert rewrite(tmp_path) == 0
    assert stale.read_text(encoding="utf-8") == good
    assert f"{stale}: rewritten" in capsys.readouterr().out.splitlines()
    assert all((tmp_path / name).read_text(encoding="utf-8") == page(name) for name in FILES)
    assert rewrite(tmp_path) == 0
    assert capsys.readouterr().out == ""


def test_a_page_without_its_markers_is_an_error() -> None:
    """The generator does not guess the place of a block."""
    with pytest.raises(ValueError, match="exactly once"):
        rewritten("no markers", PAGES["features.md"])


# Nothing is missing --------------------------------------------------------------------------------------------------


def test_every_setting_is_documented_with_its_default() -> None:
    """Each setting has one row, in the order of declaration; no group is empty."""
    text = block("settings.md", "settings")
    rows = [row for row in cells(text) if row[0] != "variable"]
    assert [row[0] for row in rows] == [f"`{name}`" for name in dict(Settings().masked())]
    assert [row[1] for row in rows] == [f"`{v}`" if v else "(empty)" for _, v in Settings().masked()]
    assert all(row[3].endswith(".") for row in rows)
    assert re.findall(r"^### (.*)$", text, re.MULTILINE) == list(GROUPS.values())


def test_every_topic_is_documented_by_row_and_by_section() -> None:
    """Each topic has a row in both tables and its own section."""
    text = page("topics.md")
    names = [name_of(topic, Settings()) for topic in TOPICS]
    assert [row[0] for row in cells(block("topics.md", "topics"))[1:]] == [f"`{name}`" for name in names]
    assert [row[0] for row in cells(section(text, "Producers and consumers"))[1:]] == [f"`{name}`" for name in names]
    assert [name for name in re.findall(r"^## `(.*)`$", text, re.MULTILINE) if name in names] == names


def test_every_header_is_documented() -> None:
    """Headers of dead letters, alerts, forwarded events and snapshots."""
    letters = [value for name, value in vars(dead_letters).items() if name.isupper() and str(value).startswith("__st")]
    assert len(letters) == 5
    event = alerts.alert_events()[0].event
    ours = [*letters, dead_letters.REASON, FORWARDED, TIMESTAMP, LABELS_OFFSET_HEADER, LABELS_TOPIC_HEADER]
    for header in [*ours, *(name for name, _ in alert_headers(event, "c"))]:
        assert f"`{header}`" in page("topics.md"), header


def test_every_kind_of_record_in_the_changelog_is_documented() -> None:
    """The key of the position, and the first byte of all other keys."""
    text = section(page("topics.md"), "`churn-signals-profiles-changelog`")
    assert f"`{position.POSITION_KEY.decode()!r}`".replace("'", "") in text
    kinds = {value for value in vars(store).values() if isinstance(value, bytes)}
    assert {found.encode() for found in re.findall(r"\(`(.)`\)", text)} == kinds


def leaves(command: click.Command = main, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command of the command line, found without the generator."""
    if not isinstance(command, click.Group):
        yield " ".join(words), command
        return
    context = click.Context(command)
    for word in command.list_commands(context):
        found = command.get_command(context, word)
        assert found is not None
        yield from leaves(found, (*words, word))


def test_every_command_argument_and_option_is_documented() -> None:
    """Each command has a section, and each option that --help shows has a row."""
    sections = dict(re.findall(r"^### `(.*?)`\n(.*?)(?=^### |\Z)", block("commands.md", "commands"), re.DOTALL | re.M))
    assert list(sections) == [name for name, _ in leaves()]
    for name, command in leaves():
        text = CliRunner().invoke(main, [*name.split(), "--help"], terminal_width=200).output
        for option in re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE):
            assert option == "--help" or f"`{option}`" in sections[name], f"{name} {option}"
        usage = re.search(r"^Usage: .* (churn-signals|main)?.*$", text, re.MULTILINE)
        assert usage is not None
        for argument in (p for p in command.params if isinstance(p, click.Argument)):
            assert str(argument.metavar or (argument.name or "").upper()) in sections[name].split("```")[1], name


def test_every_exit_code_is_documented() -> None:
    """Exit codes of errors, of usage errors and of lag."""
    errors: list[type[ChurnSignalsError]] = [ChurnSignalsError, *ChurnSignalsError.__subclasses__()]
    wanted = {0, click.UsageError.exit_code, *EXIT_CODES.values(), *(error.exit_code for error in errors)}
    rows = {int(row[0]): row[1] for row in cells(section(page("commands.md"), "Exit codes"))[1:]}
    assert set(rows) == wanted
    for status, exit_code in EXIT_CODES.items():
        assert not exit_code or status in rows[exit_code], status


def test_every_command_is_in_the_readme() -> None:
    """The table in README.md lists every command."""
    table = section((ROOT / "README.md").read_text(encoding="utf-8"), "Commands")
    named = set(re.findall(r"[\w-]+", " ".join(row[0] for row in cells(table))))
    assert [name for name in main.list_commands(click.Context(main)) if name not in named] == []
    assert set(COMMANDS) >= set(main.list_commands(click.Context(main)))


def test_every_feature_is_documented() -> None:
    """Each feature has one complete row, in the order of the catalogue."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", page("features.md"), re.MULTILINE)
    assert rows == [(f.name, f.sentence) for f in FEATURES]


def test_every_event_name_is_documented() -> None:
    """One row each."""
    text = page("events.md").split("## Event names")[1]
    assert sorted(re.findall(r"^\| \w+ \| `([^`]+)` \|", text, re.MULTILINE)) == sorted(MEANINGS)


def test_every_rejection_reason_after_decoding_is_documented() -> None:
    """Reasons from decoding are tested with the decoder."""
    for reason in (MISROUTED, PROCESSING_ERROR):
        assert f"`{reason}`" in section(page("events.md"), "Rejection reasons")
        assert f"`{reason}`" in section(page("topics.md"), "`customer-events.dlq`")


def test_every_key_of_the_churn_definition_is_documented_and_no_other() -> None:
    """All tables and keys that a churn.toml can have."""
    both = '[churn.definitions.a]\nevent = "x"\n[churn.definitions.involuntary]\nevent = "y"\n[label.involuntary]\n'
    effective = ChurnDefinition.parse(both).to_toml()
    tables = [line.strip("[]") for line in effective.splitlines() if line.startswith("[") and "definitions" not in line]
    wanted = {f"churn.definitions.NAME.{key}" for key in DEFINITION_KEYS} | {f"alerts.{key}" for key in ALERT_KEYS}
    wanted |= {f"goals.NAME.{key}" for key in GOAL_KEYS}
    wanted |= {f"events.NAME.{key}" for key in (*MAPPING_KEYS, "PROPERTY")}
    wanted |= {f"value.{key}" for key in VALUE_KEYS}  # unset parameters are not printed
    for table in tables:
        body = effective.split(f"[{table}]\n")[1].split("\n\n")[0]
        wanted |= {f"{table}.{key}" for key in re.findall(r"^(\w+) =", body, re.MULTILINE)}
    assert {row[0].strip("`") for row in cells(section(page("definition.md"), "Configuration reference"))[1:]} == wanted


def test_every_state_type_and_reason_of_alerts_is_documented() -> None:
    """The diagram and the tables of types and playbooks contain them."""
    text = page("alerts.md")
    (diagram,) = snippets(text, "mermaid")
    arrows = re.findall(r"(\S+) --> (\S+): (.*)", diagram)
    assert {state for arrow in arrows for state in arrow[:2]} - {"[*]"} == set(STATES) - {"none"}
    for kind in TYPES:
        assert any(kind in label for _, _, label in arrows), kind
    assert [row[1] for row in cells(block("alerts.md", "types"))[1:]] == [f"`{kind}`" for kind in TYPES]
    assert [row[0] for row in cells(block("alerts.md", "playbooks"))[1:]] == [f"`{c}`" for c in CODES]


# Examples ------------------------------------------------------------------------------------------------------------


def test_example_responses_to_alerts_are_valid_actions() -> None:
    """The examples decode, and match the page."""
    handled = []
    for text in snippets(section(page("alerts.md"), "Responding to alerts"), "json"):
        event = decode(text.encode(), [], None)
        assert isinstance(event, Event), event
        handled.append(action_of(event))
    alert_id = json.loads(snippets(page("alerts.md"), "json")[0])["alert_id"]
    assert [h and h.kind for h in handled] == ["acknowledge", "snooze", "dismiss"]
    assert handled[0] == AlertAction("acknowledge", alert_id)
    assert handled[1] is not None
    assert handled[1].until_ms
    assert handled[2] == AlertAction("dismiss")


def test_partition_in_the_comment_is_the_computed_one(capsys: pytest.CaptureFixture[str]) -> None:
    """The snippet's comment is its output."""
    (code,) = snippets(page("topics.md"), "python")
    exec(code, {})
    assert capsys.readouterr().out.strip() == code.rsplit("#", 1)[1].strip()


def test_examples_of_settings_are_accepted() -> None:
    """The program starts with each documented block of assignments as its environment."""
    examples = [text for text in snippets(page("settings.md"), "sh") if text.startswith(PREFIX)]
    assert len(examples) >= 2
    for text in examples:
        settings = Settings.from_environment(dict(line.split("=", 1) for line in text.split()))
        assert "change-me" not in repr(settings)
        assert settings.kafka_security_protocol != "PLAINTEXT"
    assert Settings().kafka_bootstrap_servers.startswith("127.0.0.1:")


def test_the_security_settings_reach_every_client() -> None:
    """Every Kafka client is created with `Settings.connection`, as settings.md states."""
    client = re.compile(r"AIOKafka(Consumer|Producer|AdminClient)")
    made = [
        (path.name, node)
        for path in (ROOT / "streams").rglob("*.py")
        for node in ast.walk(syntax_tree(path))
        if isinstance(node, ast.Call) and client.fullmatch(ast.unparse(node.func))
    ]
    assert len(made) >= 7
    for name, call in made:
        spread = [ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg is None]
        assert any(text.endswith("settings.connection()") for text in spread), f"{name}: {ast.unparse(call)}"


def test_documented_error_messages_match_the_program() -> None:
    """Word for word."""
    messages = []
    for name, value in (("CHURN_KAFKA_BOOTSTRAP_SERVER", "x"), ("CHURN_KAFKA_MAX_POLL_RECORDS", "0")):
        with pytest.raises(ChurnSignalsError) as refused:
            Settings.from_environment({name: value})
        messages.append(str(refused.value))
    assert re.findall(r"^ *Error: (.*)$", page("settings.md"), re.MULTILINE) == messages


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_variable_that_a_page_names_exists(path: Path) -> None:
    """A renamed setting must be renamed on all pages."""
    named = set(re.findall(r"\bCHURN_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8")))
    named -= {"CHURN_FAILPOINT", "CHURN_KAFKA_BOOTSTRAP_SERVER"}  # for the crash tests; misspelt as an example
    assert named <= VARIABLES, named - VARIABLES


# Links ---------------------------------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub creates for the headings of a page."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_resolves(path: Path) -> None:
    """Linked files and headings exist."""
    text = re.sub(r"^ *```.*?^ *```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_pages_are_found() -> None:
    """The two tests above cover all pages."""
    assert {ROOT / "README.md", *(DOCS / name for name in PAGES)} <= set(MARKDOWN)


def test_help_of_a_command_reads_as_click_shows_it() -> None:
    """Lines of a paragraph are joined; a block after a backspace is unchanged."""
    assert commands.paragraphs("One\n    two.\n\n    \b\n    a  b\n    c\n\f hidden") == "One two.\n\n```\na  b\nc\n```"
    assert variable("partitions") in VARIABLES

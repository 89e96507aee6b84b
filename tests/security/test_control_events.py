"""Claim 10: only holders of the secret can delete customers or act on alerts."""

from __future__ import annotations

import asyncio
import dataclasses
import doctest
import hashlib
import hmac
import time
from typing import Any

import orjson
import pytest

from models.alerts.alert_action import action_of
from models.definition.churn_definition import ChurnDefinition
from models.definition.toml_table import DefinitionError
from models.events.event import Event
from models.events.taxonomy import CONTROL_EVENTS, MEANINGS
from streams.console.actions import EVENT_NAMES, action_event, publish_action
from streams.errors import ConfigurationError, SettingsError
from streams.kafka import control_signature
from streams.kafka.control_signature import SIGNATURE, UNAUTHORIZED_CONTROL, ControlSignatures, unsigned_notice
from streams.kafka.publisher import Publisher
from streams.scoring.event_processor import EventProcessor
from streams.settings import Settings
from tests.streams.scoring.test_event_processor import HERE, THERE, Record, Store, of, record, shared, step

SECRET, FORMER = "the-secret-0123456789abcdef01234", "a-former-secret-456789abcdef0123"
SIGNED = Settings(control_secret=f"{SECRET},{FORMER}")


def signed(call: Record, secret: str = SECRET) -> Record:
    """Sign like a publisher in any language: the HMAC-SHA256 of the value, in hexadecimal."""
    digest = hmac.new(secret.encode(), call.value or b"", hashlib.sha256).hexdigest()
    return call._replace(headers=(*call.headers, (SIGNATURE, digest.encode())))


def control(offset: int = 1, customer: str = HERE, name: str = "User Deletion Requested") -> Record:
    return record(offset, customer, name=name)


def refusals(settings: Settings, *records: Record) -> list[str]:
    """Process records after an event of their customer; return the reasons of their dead letters."""
    store = Store()
    processor = EventProcessor(shared(settings=settings), 0, store, None)
    step(processor, store, [record(0)])
    effects = step(processor, store, records)
    letters = [dict(letter.headers)["churn.reason"].decode() for letter in of(effects, "customer-events.dlq")]
    deleted = [score for score in of(effects, "churn-scores") if score.value is None]
    assert bool(deleted) is (len(letters) < len(records)), "deleted if and only if a deletion was accepted"
    assert effects.tally is not None
    assert effects.tally.counts["dead_letters", UNAUTHORIZED_CONTROL] == len(letters)
    return letters


def test_docstring_examples_hold() -> None:
    assert doctest.testmod(control_signature).failed == 0


def test_every_event_that_acts_on_a_customer_or_an_alert_is_a_control_event() -> None:
    """Rule: deletion, consent, actions on alerts and interventions, whatever is added to the table later."""
    acting = {
        name
        for name, meaning in MEANINGS.items()
        if meaning.family == "loop" or meaning.effect in ("consent", "deletion", "alert")
    }
    assert acting == CONTROL_EVENTS
    assert set(EVENT_NAMES.values()) <= CONTROL_EVENTS
    for name in MEANINGS:
        assert action_of(Event("c", name, 0, 0, {}, False, False)) is None or name in CONTROL_EVENTS


def test_unsigned_control_events_are_refused_by_default() -> None:
    """Rule: without any setting no publisher can delete a customer, and the worker's start reports it."""
    assert refusals(Settings(), control(), signed(control(2))) == [UNAUTHORIZED_CONTROL] * 2
    assert "CHURN_CONTROL_SECRET is not set" in unsigned_notice(Settings())
    assert unsigned_notice(SIGNED) == ""


@pytest.mark.parametrize("secret", [SECRET, FORMER])
def test_signed_control_events_are_applied(secret: str) -> None:
    """Rule: each of several secrets verifies, so that a log with older signatures can be replayed."""
    assert refusals(SIGNED, signed(control(), secret)) == []


@pytest.mark.parametrize(
    "name", ["user_deletion_requested", "userDeletionRequested", " USER  DELETION REQUESTED", "user-deletion.requested"]
)
def test_control_events_need_a_signature_in_every_spelling(name: str) -> None:
    """Rule: whatever spelling acts like a control event needs its signature, and with one it acts."""
    assert refusals(SIGNED, control(name=name)) == [UNAUTHORIZED_CONTROL]
    assert refusals(SIGNED, signed(control(name=name))) == []


@pytest.mark.parametrize(
    "entry",
    [
        '"user_deletion_requested" = { engaged = true }',
        '"Alert Snoozed" = { as = "Feature Used" }',
        '"Account Closed" = { as = "User Deletion Requested" }',
    ],
)
def test_no_event_can_be_mapped_to_or_from_a_control_event(entry: str) -> None:
    """Rule: a churn.toml cannot make a publisher and a worker disagree on what needs a signature."""
    with pytest.raises(DefinitionError, match="control event"):
        ChurnDefinition.parse(f'[churn.definitions.a]\nevent = "x"\n[events]\n{entry}\n')


def test_signature_fits_its_event_only() -> None:
    """Rule: a signature of another customer, of another event or by another secret is refused; so is half of one."""
    stolen = signed(control(1, THERE)).headers
    forged = [
        control(1)._replace(headers=stolen),
        control(6)._replace(headers=signed(control(2)).headers),
        signed(control(2), "x" * 32),
        control(3)._replace(headers=((SIGNATURE, b""),)),
        control(4)._replace(headers=((SIGNATURE, signed(control(4)).headers[0][1][:32]),)),
        control(5)._replace(headers=((SIGNATURE, b"\xff" * 64),)),
    ]
    assert refusals(SIGNED, *forged) == [UNAUTHORIZED_CONTROL] * len(forged)


def test_all_kinds_of_control_events_need_a_signature_and_others_do_not() -> None:
    store = Store()
    processor = EventProcessor(shared(settings=SIGNED), 0, store, None)
    names = sorted(CONTROL_EVENTS)
    effects = step(processor, store, [control(n, name=name) for n, name in enumerate(names)] + [record(99)])
    letters = of(effects, "customer-events.dlq")
    assert len(letters) == len(names)
    assert len(of(effects, "churn-scores")) == 1
    for letter, name in zip(letters, names, strict=True):
        headers = dict(letter.headers)
        assert headers["__streams.errors.exception"] == b"Unauthorized"
        assert name.encode() in headers["__streams.errors.message"]
        assert SECRET.encode() not in b"".join(headers.values())


def test_any_publisher_is_accepted_only_on_request() -> None:
    """Rule: CHURN_CONTROL_EVENTS=any accepts unsigned events, and the worker's start warns about it."""
    everyone = Settings(control_events="any")
    assert refusals(everyone, control()) == []
    assert "every publisher of customer-events" in unsigned_notice(everyone)


def test_forwarded_control_event_keeps_its_signature() -> None:
    """Rule: the partition that owns the customer verifies it again. Without one, the event is not forwarded."""
    store = Store()
    processor = EventProcessor(shared(settings=SIGNED), 0, store, None)
    effects = step(processor, store, [signed(control(1, THERE)), control(2, THERE)])
    [forwarded] = of(effects, "customer-events")
    assert ControlSignatures(SIGNED).accepts(forwarded.value, forwarded.headers)
    [letter] = of(effects, "customer-events.dlq")
    assert dict(letter.headers)["churn.reason"] == UNAUTHORIZED_CONTROL.encode()


def test_publisher_signs_control_events() -> None:
    """Rule: `publish` and the console sign with the first secret, and count what workers will refuse."""

    async def published(settings: Settings) -> tuple[Any, Publisher]:
        publisher, sent = Publisher(settings), []

        async def put(value: bytes | None, key: bytes | None, **options: Any) -> None:
            sent.append((value, key, options["headers"]))

        publisher.put = put  # type: ignore[method-assign]
        await publisher.send(action_event("dismiss", "c1", "a1", int(time.time() * 1000)))
        await publisher.send(b'{"type":"page","userId":"c1"}')
        return sent, publisher

    [action, page], publisher = asyncio.run(published(SIGNED))
    assert ControlSignatures(Settings(control_secret=SECRET)).accepts(action[0], action[2])
    assert (page[2], publisher.rejected.total()) == ([], 0)
    [action, page], publisher = asyncio.run(published(Settings()))
    assert (action[2], page[2], publisher.rejected) == ([], [], {UNAUTHORIZED_CONTROL: 1})


def test_console_refuses_an_action_that_workers_would_refuse() -> None:
    """Rule: the person sees which setting is missing, instead of an action without an effect."""
    alert = {"customer": "c1", "alert_id": "a1", "changed_ms": 0}
    with pytest.raises(ConfigurationError, match="CHURN_CONTROL_SECRET is not set"):
        asyncio.run(publish_action(Settings(), "dismiss", alert))


@pytest.mark.parametrize("secret", ["short", f"{SECRET},short", f"{SECRET},", " " * 40])
def test_short_secrets_are_rejected(secret: str) -> None:
    """Rule: a signed event shows whether a guess is right, so guessing must take too long."""
    with pytest.raises(SettingsError, match="32 characters or more") as refused:
        Settings.from_environment({"CHURN_CONTROL_SECRET": secret})
    assert secret not in str(refused.value)


def test_control_secret_is_read_again_from_its_file(tmp_path: Any) -> None:
    """Rule: a rotated secret is in use without a restart."""
    file = tmp_path / "secret"
    file.write_text(FORMER + "\n")
    settings = Settings.from_environment({"CHURN_CONTROL_SECRET_FILE": str(file)})
    signatures = ControlSignatures(settings)
    value = orjson.dumps({"a": 1})
    former = signatures.sign(value)
    assert former == ControlSignatures(Settings(control_secret=FORMER)).sign(value)
    (tmp_path / "next").write_text(f"{SECRET},{FORMER}")
    (tmp_path / "next").replace(file)
    assert signatures.sign(value) == ControlSignatures(dataclasses.replace(SIGNED)).sign(value)
    assert signatures.accepts(value, former)
    for broken in ("short", "", "\n"):
        file.write_text(broken)
        assert signatures.accepts(value, former), "a file that is damaged later changes nothing"
        assert settings.secret_texts(), "a log line is masked, whatever the file holds"

"""Effects of product use on the profile: features, sessions, goals, onboarding, clicks, traits and consent."""

from __future__ import annotations

from zlib import crc32

from models.events.coercion import as_number, text, time_ms
from models.events.event import Event
from models.profile import sections
from models.profile.apply_billing import card
from models.profile.mergeable import DAY_MS, keep_last, keep_newest_keys, keep_smallest, newest
from models.profile.schema import FEATURES_TRACKED, GOALS_KEPT, STEPS_TRACKED, Profile


def feature_key(name: str) -> int:
    """Return the key of a product feature or onboarding step."""
    return crc32(name.encode("utf-8", "replace"))


def feature(profile: Profile, event: Event) -> None:
    if event.automated:
        return
    properties = event.properties
    name = properties.get("feature") or properties.get("name")
    if name.__class__ is str:
        day, key = event.time_ms // DAY_MS, crc32(name[:128].encode("utf-8", "replace"))
        used = profile.used
        last = used.get(key)
        if last is None:
            keep_newest_keys(used, key, day, FEATURES_TRACKED)
        elif last < day:
            used[key] = day


def session_ended(profile: Profile, event: Event) -> None:
    seconds = as_number(event.properties.get("duration") or event.properties.get("duration_seconds"))
    if seconds is not None and 0 <= seconds <= 86_400:
        journey = sections.journey(profile)
        journey.session_s_sum += round(seconds)
        journey.sessions_timed += 1


def goal(profile: Profile, event: Event) -> None:
    journey = sections.journey(profile)
    journey.first_goal_ms = min(journey.first_goal_ms, event.time_ms)
    journey.last_goal_ms = max(journey.last_goal_ms, event.time_ms)
    value = as_number(event.properties.get("score", event.properties.get("value")))
    if value is not None and 0 <= value <= 1e9:
        keep_last(journey.goal_values, (event.time_ms, event.id_hash, round(1000 * value)), GOALS_KEPT)


def signed_up(profile: Profile, event: Event) -> None:
    journey = sections.journey(profile)
    journey.signed_up_ms = min(journey.signed_up_ms, event.time_ms)
    traits(profile, event)


def trial_started(profile: Profile, event: Event) -> None:
    ends = time_ms(event.properties.get("trial_end") or event.properties.get("ends_at"))
    if ends is not None:
        section = sections.subscription(profile)
        section.trial_end = newest(section.trial_end, (event.time_ms, 0, ends))


def onboarding_step(profile: Profile, event: Event) -> None:
    journey = sections.journey(profile)
    step = event.properties.get("step") or event.properties.get("name")
    if step is not None:
        journey.steps = keep_smallest(journey.steps, feature_key(str(step)[:128]), STEPS_TRACKED)
    total = as_number(event.properties.get("steps_total") or event.properties.get("total"))
    if total is not None and 0 < total <= 1000:
        journey.steps_total = max(journey.steps_total, int(total))


def onboarding_completed(profile: Profile, event: Event) -> None:
    journey = sections.journey(profile)
    journey.onboarded_ms = min(journey.onboarded_ms, event.time_ms)


# Messages, identity --------------------------------------------------------------------------------------------------


def clicked(profile: Profile, event: Event) -> None:
    journey = sections.journey(profile)
    journey.clicked_ms = max(journey.clicked_ms, event.time_ms)


def _set_subscribed(profile: Profile, event: Event, value: int) -> None:
    section = sections.identity(profile)
    section.subscribed = newest(section.subscribed, (event.time_ms, 0, value))


def email_unsubscribed(profile: Profile, event: Event) -> None:
    _set_subscribed(profile, event, 0)


def resubscribed(profile: Profile, event: Event) -> None:
    _set_subscribed(profile, event, 1)


def traits(profile: Profile, event: Event) -> None:
    properties, stamp = event.properties, (event.time_ms, 0)
    for name in ("plan", "segment", "account", "source"):
        value = text(properties.get(name), 64)
        if name == "account" and event.group:
            value = event.group[:64]
        if value:
            section = sections.identity(profile)
            setattr(section, name, newest(getattr(section, name), (*stamp, value)))
    if properties.get("referred") is True or properties.get("referrer"):
        sections.identity(profile).referred = True
    card(profile, event)


def consent(profile: Profile, event: Event) -> None:
    granted = event.properties.get("granted")
    if granted.__class__ is bool:
        section = sections.identity(profile)
        section.consent = newest(section.consent, (event.time_ms, 0, int(granted)))

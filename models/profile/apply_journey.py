"""Effects of product use on the profile: features, sessions, goals, onboarding, clicks, traits and consent."""

from __future__ import annotations

from typing import Final
from zlib import crc32

from models.events.coercion import as_number, text, time_ms
from models.events.event import Event
from models.events.readers import DAY_S, MINUTE_S, boolean, first_duration, first_readable, read_identifier
from models.profile import sections
from models.profile.apply_billing import card
from models.profile.customer_attributes import customer_account, customer_plan, customer_segment, customer_source
from models.profile.mergeable import DAY_MS, keep_last, keep_newest_keys, keep_smallest, newest
from models.profile.schema import FEATURES_TRACKED, GOALS_KEPT, STEPS_TRACKED, Profile

GOAL_VALUE_MAX: Final = 1e9
ONBOARDING_STEPS_MAX: Final = 1000

_PLAIN_CHARS: Final = 64
_FEATURE_NAMES: Final = ("feature", "feature_name", "featureName", "name")
_SESSION_UNITS_S: Final = {
    "duration": 1.0,
    "duration_seconds": 1.0,
    "duration_s": 1.0,
    "session_duration": 1.0,
    "duration_ms": 0.001,
    "durationMs": 0.001,
    "duration_minutes": MINUTE_S,
    "engagement_time_msec": 0.001,  # Google Analytics
}
_TRIAL_END_NAMES: Final = (
    "trial_end", "trial_end_date", "trial_ends_at", "trial_end_at", "trialEnd", "trialEndDate", "trialEndsAt",
    "ends_at", "endsAt",
)  # fmt: skip
_STEP_NAMES: Final = ("step", "step_name", "stepName", "step_id", "name")
_STEPS_TOTAL_NAMES: Final = ("steps_total", "total_steps", "totalSteps", "stepsTotal", "total")
_CONSENT_NAMES: Final = ("granted", "consent", "consented", "opted_in")
_OPT_IN_NAMES: Final = ("email_opt_in", "emailOptIn", "email_subscribed", "subscribed_to_emails", "marketing_opt_in")
_OPT_OUT_NAMES: Final = ("unsubscribed", "unsubscribed_from_emails", "email_opt_out", "emailOptOut")
_REFERRER_NAMES: Final = ("referrer", "referred_by", "referredBy", "referrer_id", "referral_code", "referralCode")
_ATTRIBUTES: Final = (
    ("plan", customer_plan),
    ("segment", customer_segment),
    ("account", customer_account),
    ("source", customer_source),
)


def feature_key(name: str) -> int:
    """Return the key of a product feature or onboarding step."""
    return crc32(name.encode("utf-8", "replace"))


def feature(profile: Profile, event: Event) -> None:
    if event.automated:
        return
    name = event.properties.get("feature")
    if name.__class__ is not str or not 0 < len(name) <= _PLAIN_CHARS:  # the common case needs no reader
        name = first_readable(event, _FEATURE_NAMES, text)
    if name is not None:
        day, key = event.time_ms // DAY_MS, crc32(name.encode("utf-8", "replace"))
        used = profile.used
        last = used.get(key)
        if last is None:
            keep_newest_keys(used, key, day, FEATURES_TRACKED)
        elif last < day:
            used[key] = day


def session_ended(profile: Profile, event: Event) -> None:
    seconds = first_duration(event, _SESSION_UNITS_S, DAY_S)
    if seconds is not None:
        journey = sections.journey(profile)
        journey.session_s_sum += round(seconds)
        journey.sessions_timed += 1


def goal(profile: Profile, event: Event) -> None:
    journey = sections.journey(profile)
    journey.first_goal_ms = min(journey.first_goal_ms, event.time_ms)
    journey.last_goal_ms = max(journey.last_goal_ms, event.time_ms)
    value = first_readable(event, ("score", "value"), _goal_value)
    if value is not None:
        keep_last(journey.goal_values, (event.time_ms, event.id_hash, round(1000 * value)), GOALS_KEPT)


def signed_up(profile: Profile, event: Event) -> None:
    journey = sections.journey(profile)
    journey.signed_up_ms = min(journey.signed_up_ms, event.time_ms)
    traits(profile, event)


def trial_started(profile: Profile, event: Event) -> None:
    ends = first_readable(event, _TRIAL_END_NAMES, time_ms)
    if ends is not None:
        section = sections.subscription(profile)
        section.trial_end = newest(section.trial_end, (event.time_ms, 0, ends))


def onboarding_step(profile: Profile, event: Event) -> None:
    journey = sections.journey(profile)
    step = first_readable(event, _STEP_NAMES, text)
    if step is not None:
        journey.steps = keep_smallest(journey.steps, feature_key(step), STEPS_TRACKED)
    total = first_readable(event, _STEPS_TOTAL_NAMES, _steps_total)
    if total is not None:
        journey.steps_total = max(journey.steps_total, total)


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
    attributes(profile, event, own=True)
    if first_readable(event, ("referred", "is_referred"), boolean) or _was_referred(event):
        sections.identity(profile).referred = True
    subscribed = first_readable(event, _OPT_IN_NAMES, boolean)
    if subscribed is None and (opted_out := first_readable(event, _OPT_OUT_NAMES, boolean)) is not None:
        subscribed = not opted_out
    if subscribed is not None:
        _set_subscribed(profile, event, int(subscribed))
    card(profile, event)


def attributes(profile: Profile, event: Event, *, own: bool = False) -> None:
    """Keep plan, segment, account and source that an event states in its context, or, with `own`, in its properties."""
    for name, read in _ATTRIBUTES:
        value = read(event, own=own)
        if value is not None:
            section = sections.identity(profile)
            setattr(section, name, newest(getattr(section, name), (event.time_ms, 0, value)))


def _was_referred(event: Event) -> bool:
    """Check for a referring customer. The `referrer` of web analytics is the address of a page instead."""
    referrer = first_readable(event, _REFERRER_NAMES, read_identifier)
    return referrer is not None and "://" not in referrer and not referrer.startswith("$")


def consent(profile: Profile, event: Event) -> None:
    granted = first_readable(event, _CONSENT_NAMES, boolean)
    if granted is not None:
        section = sections.identity(profile)
        section.consent = newest(section.consent, (event.time_ms, 0, int(granted)))


def _goal_value(value: object) -> float | None:
    number = as_number(value)
    return number if number is not None and 0 <= number <= GOAL_VALUE_MAX else None


def _steps_total(value: object) -> int | None:
    number = as_number(value)
    return int(number) if number is not None and 1 <= number <= ONBOARDING_STEPS_MAX else None

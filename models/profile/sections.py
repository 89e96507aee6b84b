"""Sections of a profile, created on first access: a profile has a section only if an event wrote to it."""

from __future__ import annotations

from models.profile.schema import Commerce, Feedback, Identity, Journey, Payments, Profile, Subscription


def commerce(profile: Profile) -> Commerce:
    """Return the section of orders and refunds."""
    section = profile.commerce
    if section is None:
        section = profile.commerce = Commerce()
    return section


def subscription(profile: Profile) -> Subscription:
    """Return the section of the subscription, its price and dates."""
    section = profile.subscription
    if section is None:
        section = profile.subscription = Subscription()
    return section


def payments(profile: Profile) -> Payments:
    """Return the section of payments."""
    section = profile.payments
    if section is None:
        section = profile.payments = Payments()
    return section


def feedback(profile: Profile) -> Feedback:
    """Return the section of tickets, survey responses and reviews."""
    section = profile.feedback
    if section is None:
        section = profile.feedback = Feedback()
    return section


def identity(profile: Profile) -> Identity:
    """Return the section of plan, segment, account, source and consent."""
    section = profile.identity
    if section is None:
        section = profile.identity = Identity()
    return section


def journey(profile: Profile) -> Journey:
    """Return the section of sign-up, onboarding, sessions and goals."""
    section = profile.journey
    if section is None:
        section = profile.journey = Journey()
    return section

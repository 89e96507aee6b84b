"""Parts that a profile only has when there is something to say: each is made when first asked for."""

from __future__ import annotations

from models.profile.schema import Commerce, Feedback, Identity, Journey, Payments, Profile, Subscription


def commerce(profile: Profile) -> Commerce:
    """Purchases."""
    part = profile.commerce
    if part is None:
        part = profile.commerce = Commerce()
    return part


def subscription(profile: Profile) -> Subscription:
    """The subscription, its price and dates."""
    part = profile.subscription
    if part is None:
        part = profile.subscription = Subscription()
    return part


def payments(profile: Profile) -> Payments:
    """When money came."""
    part = profile.payments
    if part is None:
        part = profile.payments = Payments()
    return part


def feedback(profile: Profile) -> Feedback:
    """What the customer said."""
    part = profile.feedback
    if part is None:
        part = profile.feedback = Feedback()
    return part


def identity(profile: Profile) -> Identity:
    """Who the customer belongs to, and what they allowed."""
    part = profile.identity
    if part is None:
        part = profile.identity = Identity()
    return part


def journey(profile: Profile) -> Journey:
    """First steps and goals."""
    part = profile.journey
    if part is None:
        part = profile.journey = Journey()
    return part

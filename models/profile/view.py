"""The part of a profile that is published with a score, captured at one moment."""

from __future__ import annotations

import msgspec

from models.events.taxonomy import COUNTER_INDEX
from models.profile.dunning import Dunning
from models.profile.mergeable import CARRY, DAY_BINS
from models.profile.schema import Commerce, Feedback, Identity, Journey, Profile, Subscription

ENGAGED = COUNTER_INDEX["engaged"]


class ProfileView(msgspec.Struct, array_like=True, gc=False):
    """A view of a profile, captured while a batch is applied: which scores are published is known only after scoring.

    The sections are shared with the profile. Code that changes a section later replaces it with a copy first
    (`models.profile.codec.copy_sections`).

    >>> ProfileView.of(Profile(first_ms=5)).first_ms
    5
    """

    first_ms: int
    newest_ms: int
    engaged_ms: int
    days: bytes
    """Day bins of engaged events, see `models.profile.mergeable`."""
    carry: bytes
    """Their high bytes, empty if no day had more than 255 events."""
    subscription: Subscription | None
    commerce: Commerce | None
    feedback: Feedback | None
    identity: Identity | None
    journey: Journey | None
    dunning: Dunning | None = None

    @classmethod
    def of(cls, profile: Profile) -> ProfileView:
        """Capture the profile as it is now."""
        bins = profile.bins
        days, carry = bins.get(ENGAGED), bins.get(ENGAGED + CARRY)
        return cls(
            first_ms=profile.first_ms,
            newest_ms=profile.newest_ms,
            engaged_ms=profile.engaged_ms,
            days=b"" if days is None else bytes(days[:DAY_BINS]),
            carry=b"" if carry is None else bytes(carry[:DAY_BINS]),
            subscription=profile.subscription,
            commerce=profile.commerce,
            feedback=profile.feedback,
            identity=profile.identity,
            journey=profile.journey,
            dunning=None if profile.payments is None else Dunning.of(profile),
        )

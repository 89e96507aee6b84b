"""What is told of a customer beside the score, as of one moment."""

from __future__ import annotations

import msgspec

from models.events.taxonomy import COUNTER_INDEX
from models.profile.dunning import Dunning
from models.profile.mergeable import CARRY, DAY_BINS
from models.profile.schema import Commerce, Feedback, Identity, Journey, Profile, Subscription

ENGAGED = COUNTER_INDEX["engaged"]


class ProfileView(msgspec.Struct, array_like=True, gc=False):
    """Taken of a profile while a batch is applied, because which scores are told is known only when all are scored.

    Parts are those of the profile itself: whoever changes one afterwards gives the profile one of its own first
    (`models.profile.schema.copy_parts`).

    >>> ProfileView.of(Profile(first_ms=5)).first_ms
    5
    """

    first_ms: int
    newest_ms: int
    engaged_ms: int
    days: bytes
    """Engaged events in the bins of days, see `models.profile.mergeable`."""
    carry: bytes
    """Their second bytes, empty where no day had more than 255."""
    subscription: Subscription | None
    commerce: Commerce | None
    feedback: Feedback | None
    identity: Identity | None
    journey: Journey | None
    dunning: Dunning | None = None

    @classmethod
    def of(cls, profile: Profile) -> ProfileView:
        """The profile as it is now."""
        bins = profile.bins
        days, carry = bins.get(ENGAGED), bins.get(ENGAGED + CARRY)
        return cls(
            profile.first_ms,
            profile.newest_ms,
            profile.engaged_ms,
            b"" if days is None else bytes(days[:DAY_BINS]),
            b"" if carry is None else bytes(carry[:DAY_BINS]),
            profile.subscription,
            profile.commerce,
            profile.feedback,
            profile.identity,
            profile.journey,
            None if profile.payments is None else Dunning.of(profile),
        )

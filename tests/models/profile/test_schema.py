"""The profile record: advancing time, and its size."""

from __future__ import annotations

from models.profile.apply import apply
from models.profile.codec import encode
from models.profile.mergeable import DAY_MS
from models.profile.schema import Profile, advance
from tests.models.histories import odd_history, profile_of, simulated


def test_advance_to_an_earlier_time_changes_nothing() -> None:
    """A profile never moves back in time."""
    profile = profile_of(odd_history(1, 50))
    before = encode(profile)
    advance(profile, profile.newest_ms)
    advance(profile, profile.newest_ms - 30 * DAY_MS)
    assert encode(profile) == before


def test_median_profile_is_about_2_kib() -> None:
    """Simulated customers after 120 days, without pending snapshots."""
    by_customer: dict[str, Profile] = {}
    for each in simulated(customers=60, days=120):
        apply(by_customer.setdefault(each.customer, Profile()), each)
    sizes = sorted(len(encode(p)) for p in by_customer.values())
    assert sizes[len(sizes) // 2] < 1.05 * 2048, sizes

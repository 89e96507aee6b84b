"""The working state of one batch: what steps 1 and 2 of the fold collect, and the later steps read."""

from __future__ import annotations

from typing import Final, NamedTuple

from models.alerts.alert_action import AlertAction
from models.events.unreadable import UnreadableCounts
from models.experience.aggregates import SumIncrement
from models.features.row_buffer import RowBuffer
from models.features.scoring_point import DECISIVE, LogPosition, ScoringPoint
from models.labels.labeller import MaturedLabel
from models.pipeline.batch_clock import BatchClock
from models.profile import codec as profiles
from models.profile.codec import BAND_MASK, UNSCORED, VISITOR
from models.profile.mergeable import DAY_MS
from models.profile.schema import NEVER_MS, ProcessingState, Profile
from models.profile.view import ProfileView
from models.retention.accounts import RetentionAccounts
from models.retention.activity_flows import NO_ACTIVITY, ActivityView
from models.value.purchase_counts import PurchaseDelta

PUBLISH_EVERY_MS: Final = DAY_MS  # a score without a new band is published this often; a record has about 4 KB


class CustomerAction(NamedTuple):
    """An occurrence other than a score: a person acted on the alert, or the customer churned or was
    deleted. Without `action` and `deleted` the customer churned.

    Attributes:
        deleted: If the customer's records are removed, the resolution of a live alert; otherwise empty.
    """

    key: bytes
    position: LogPosition
    clock_ms: int
    action: AlertAction | None = None
    deleted: str = ""


class DeletedCustomer(NamedTuple):
    """A customer whose records are all removed; a later event with the same id creates a new customer."""

    position: LogPosition
    key: bytes


class WorkingCustomer:
    """A customer while their part of a batch is applied.

    Attributes:
        flags: Of the record's head: band of the newest score, whether there is an alert, whether it is a visitor.
        changed: Whether the record must be written.
        profile_view: The newest view of the profile, None once the profile has changed since it was taken.
        shared: Whether sections of the profile are shared with a view, so that they are copied before a change.
        accounted: The activity as of the last update of the retention accounting.
    """

    __slots__ = (
        "accounted",
        "changed",
        "due_ms",
        "flags",
        "key",
        "probability",
        "processing",
        "profile",
        "profile_view",
        "shared",
    )

    def __init__(self, key: bytes, profile: Profile, due_ms: int, probability: float, flags: int) -> None:
        self.key = key
        self.profile = profile
        assert profile.processing is not None
        self.processing = profile.processing
        self.due_ms = due_ms
        self.probability = probability
        self.flags = flags
        self.changed = False
        self.profile_view: ProfileView | None = None
        self.accounted = ActivityView.of(profile)
        self.shared = False

    def reset(self, profile: Profile) -> None:
        """Reset to a customer without any event."""
        assert profile.processing is not None
        self.profile, self.processing = profile, profile.processing
        self.accounted = NO_ACTIVITY
        self.due_ms, self.probability, self.flags = NEVER_MS, UNSCORED, VISITOR
        self.profile_view, self.shared, self.changed = None, False, False

    def unshare(self) -> None:
        """Copy the sections that a view shares, before the profile changes in them."""
        if self.shared:
            self.shared = False
            profiles.copy_sections(self.profile)


class EncodedProfile(NamedTuple):
    """A changed profile, complete except for the fields that scoring determines."""

    key: bytes
    due_ms: int
    probability: float
    flags: int
    body: bytes


class FoldBatch:
    """The data that one batch has collected so far.

    Attributes:
        clock: How the partition's clock moved.
        points: Scoring points in the order in which customers were applied; `rows` holds their features.
        matured: Labels that matured, with the log position of their deadline.
        actions: What happened to customers besides being scored, for the alert policy.
        alerted: Profile keys of customers who had an alert before the batch.
        encoded: Profiles that changed.
        before: Probability and band before the batch, for customers who are scored in it.
        deleted: Customers whose records are removed.
        dropped_snapshots: Keys of pending snapshots of customers who asked for deletion; their labels never mature.
        purchases: What orders changed for purchase values.
        goal_increments: What reached goals add to the sums of experience.
        duplicates: Events that the duplicate guard dropped.
        unreadable: Properties of applied events that are present and cannot be used.
    """

    def __init__(self, accounts: RetentionAccounts, clock: BatchClock, definitions: int) -> None:
        self.clock = clock
        self.points: list[ScoringPoint] = []
        self.rows = RowBuffer()
        self.matured: list[tuple[LogPosition, MaturedLabel]] = []
        self.actions: list[CustomerAction] = []
        self.alerted: set[bytes] = set()
        self.encoded: list[EncodedProfile] = []
        self.before: dict[bytes, tuple[float, int]] = {}
        self.deleted: list[DeletedCustomer] = []
        self.dropped_snapshots: list[bytes] = []
        self.purchases: list[PurchaseDelta] = []
        self.goal_increments: list[tuple[LogPosition, SumIncrement]] = []
        self.duplicates = 0
        self.unreadable = UnreadableCounts()
        self._accounts = accounts
        self._definitions = definitions

    def new_profile(self) -> Profile:
        """The profile of a customer without any event."""
        return Profile(processing=ProcessingState(), matched=[0] * self._definitions)

    def capture(
        self, customer: WorkingCustomer, at_ms: int, trigger: str, position: LogPosition, clock_ms: int
    ) -> ScoringPoint:
        """Add a scoring point: copy out of the profile what features read as of `at_ms`."""
        processing, profile_view = customer.processing, customer.profile_view
        if profile_view is None:
            profile_view = customer.profile_view = ProfileView.of(customer.profile)
            customer.shared = True
            self.before.setdefault(customer.key, (customer.probability, customer.flags & BAND_MASK))
        point = ScoringPoint(customer.key, at_ms, trigger, profile_view, position, clock_ms, event_ms=at_ms)
        point.first = not processing.scored_ms
        if at_ms > processing.scored_ms:
            processing.scored_ms = at_ms
        point.oldest_new_ms, processing.oldest_new_ms = processing.oldest_new_ms, NEVER_MS
        if trigger == DECISIVE or at_ms - processing.published_ms >= PUBLISH_EVERY_MS:
            point.due_to_publish = True
            processing.published_ms = at_ms
        self.rows.add(customer.profile, at_ms)
        self.points.append(point)
        return point

    def delete(self, customer: WorkingCustomer, position: LogPosition, clock_ms: int, resolution: str) -> None:
        """Remove a customer's records; a live alert ends with `resolution`.

        A customer whose profile expires has an alert only if late events opened it.
        """
        self.deleted.append(DeletedCustomer(position, customer.key))
        self.actions.append(CustomerAction(customer.key, position, clock_ms, deleted=resolution))
        self._accounts.record_deletion(customer.key, customer.accounted, customer.profile, clock_ms)
        customer.reset(self.new_profile())

    def encode(self, customer: WorkingCustomer) -> None:
        """Encode a changed profile while all of it is in the processor's cache."""
        body = profiles.encode_body(customer.profile)
        self.encoded.append(EncodedProfile(customer.key, customer.due_ms, customer.probability, customer.flags, body))


__all__ = ["PUBLISH_EVERY_MS", "CustomerAction", "DeletedCustomer", "EncodedProfile", "FoldBatch", "WorkingCustomer"]

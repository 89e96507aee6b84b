"""The customer profile: a bounded, mergeable record per customer, updated by every event.

schema            the record and its sections
mergeable         order-independent primitives: time bins, day bitmaps, newest values, bounded sets
apply             apply one event to a profile; the duplicate guard
apply_billing     effects of subscription changes and payments
apply_orders      effects of orders, refunds and cancellations
apply_feedback    effects of tickets, surveys, reviews and mentions
apply_journey     effects of product use, traits and consent
sections          sections, created on first access
subscription_change      one change of a subscription
subscription_object      subscriptions with an id, and the bounded set of them
subscription_holdings    what a customer's subscriptions add up to
subscription_section     adds changes to the section of a profile
subscription      state of a customer's subscriptions
order_object      orders with an id, and the bounded set of them
order_totals      what a customer's orders add up to
ticket_object     tickets with an id, and the bounded set of them
dunning           payment state: open dunning, failed and recovered payments
view              the part of a profile that is published with a score
codec             encode and decode profiles
merge             merge the profiles of two halves of a history
keys              store keys of a partition's records
"""

from models.profile.apply import apply
from models.profile.apply_feedback import BARRIERS
from models.profile.codec import ProfileError, RecordHead, canonical, copy, decode, encode
from models.profile.dunning import Dunning, PaymentFacts, payment_facts
from models.profile.keys import StateStore, alert_key, history_key, profile_key, snapshot_key
from models.profile.merge import merge
from models.profile.schema import (
    NEVER_MS,
    Commerce,
    Feedback,
    Identity,
    Journey,
    Payments,
    PendingSnapshot,
    ProcessingState,
    Profile,
    Subscription,
    advance,
)
from models.profile.subscription import SubscriptionState
from models.profile.view import ProfileView

__all__ = [
    "BARRIERS",
    "NEVER_MS",
    "Commerce",
    "Dunning",
    "Feedback",
    "Identity",
    "Journey",
    "PaymentFacts",
    "Payments",
    "PendingSnapshot",
    "ProcessingState",
    "Profile",
    "ProfileError",
    "ProfileView",
    "RecordHead",
    "StateStore",
    "Subscription",
    "SubscriptionState",
    "advance",
    "alert_key",
    "apply",
    "canonical",
    "copy",
    "decode",
    "encode",
    "history_key",
    "merge",
    "payment_facts",
    "profile_key",
    "snapshot_key",
]

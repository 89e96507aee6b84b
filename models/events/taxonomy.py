"""The table of known event names: family, engagement, immediate scoring, counter and effect of each.

This table is the only place that defines the meaning of an event. `models.events.aliases` lists other names of the same
events, and `models.events.event_names` finds a row for any name. A name that is in neither table is valid: it counts as
engagement, unless its form shows that it was done to the customer (`models.events.passive_rule`).

engaged
    The customer did it by hand. Only engaged events update recency, rhythm, streaks and active days. An event marked as
    automated (``context.active`` false, ``properties.automated`` true) never does.
decisive
    The customer is scored immediately instead of at the next regular scoring point.
counter
    The time-binned counter that the event increments, one of `COUNTERS`. Engaged events also increment ``engaged``.
effect
    The rule in `models.profile.apply` that reads the event's properties, or "" if only the count matters.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from models.events.passive_rule import is_passive

# The order is part of the encoded profile: append, never reorder.
COUNTERS = (
    "engaged",
    "automated",
    "session",
    "goal",
    "lifecycle",
    "order",
    "refund",
    "subscription",
    "payment_succeeded",
    "payment_failed",
    "payment_recovered",
    "payment_disputed",
    "ticket",
    "ticket_reopened",
    "ticket_solved",
    "survey",
    "negative_review",
    "negative_mention",
    "message_sent",
    "message_opened",
    "message_clicked",
    "referral_sent",
    "referral_converted",
    "crm",
    "error",
    "intervention",
    "feedback",
    "identity",
    "message_other",
)
COUNTER_INDEX = {name: index for index, name in enumerate(COUNTERS)}

FAMILY_COUNTERS: dict[str, tuple[str, ...]] = {
    "activity": ("engaged",),
    "lifecycle": ("lifecycle", "goal"),
    "commerce": ("order", "refund"),
    "subscription": ("subscription",),
    "payment": ("payment_succeeded", "payment_failed", "payment_recovered", "payment_disputed"),
    "support": ("ticket", "ticket_reopened", "ticket_solved", "error"),
    "feedback": ("survey", "negative_review", "negative_mention", "feedback"),
    "messaging": ("message_sent", "message_opened", "message_clicked", "message_other"),
    "referral": ("referral_sent", "referral_converted"),
    "crm": ("crm",),
    "identity": ("identity",),
    "loop": ("intervention",),
}


class Meaning(NamedTuple):
    """The meaning of one event name. The module's docstring explains the columns."""

    family: str
    engaged: bool
    decisive: bool
    counter: int  # index into COUNTERS, or -1
    effect: str


Y, N = True, False
# fmt: off
_TABLE: tuple[tuple[str, str, bool, bool, str, str], ...] = (
    # event                           family          engaged decisive counter           effect
    ("page",                          "activity",     Y, N, "",                   "feature"),
    ("screen",                        "activity",     Y, N, "",                   "feature"),
    ("Feature Used",                  "activity",     Y, N, "",                   "feature"),
    ("Signed In",                     "activity",     Y, N, "session",            ""),
    ("Session Started",               "activity",     Y, N, "session",            ""),
    ("Session Ended",                 "activity",     N, N, "",                   "session_ended"),
    ("Error Shown",                   "support",      N, N, "error",              ""),
    ("Application Crashed",           "support",      N, N, "error",              ""),
    ("Goal Completed",                "activity",     Y, N, "goal",               "goal"),
    ("Signed Out",                    "activity",     Y, N, "",                   ""),
    ("Invite Sent",                   "activity",     Y, N, "",                   ""),
    ("Application Installed",         "activity",     Y, N, "",                   ""),
    ("Application Opened",            "activity",     Y, N, "",                   ""),
    ("Application Foregrounded",      "activity",     Y, N, "",                   ""),
    ("Application Backgrounded",      "activity",     N, N, "",                   ""),
    ("Token Refreshed",               "activity",     N, N, "",                   ""),
    ("Application Updated",           "activity",     N, N, "",                   ""),
    ("Install Attributed",            "activity",     N, N, "",                   ""),
    ("Deep Link Clicked",             "activity",     Y, N, "",                   ""),
    ("Deep Link Opened",              "activity",     Y, N, "",                   ""),
    ("Experiment Viewed",             "activity",     N, N, "",                   ""),
    ("Video Playback Started",        "activity",     Y, N, "",                   ""),
    ("Video Playback Paused",         "activity",     Y, N, "",                   ""),
    ("Video Playback Resumed",        "activity",     Y, N, "",                   ""),
    ("Video Playback Completed",      "activity",     Y, N, "",                   ""),
    ("Video Playback Exited",         "activity",     Y, N, "",                   ""),
    ("Video Playback Seek Started",   "activity",     Y, N, "",                   ""),
    ("Video Playback Seek Completed", "activity",     Y, N, "",                   ""),
    ("Video Content Started",         "activity",     Y, N, "",                   ""),
    ("Video Content Completed",       "activity",     Y, N, "",                   ""),
    ("Video Content Playing",         "activity",     N, N, "",                   ""),
    ("Video Playback Interrupted",    "activity",     N, N, "",                   ""),
    ("Video Playback Buffer Started", "activity",     N, N, "",                   ""),
    ("Video Playback Buffer Completed", "activity",   N, N, "",                   ""),
    ("Video Quality Updated",         "activity",     N, N, "",                   ""),
    ("Video Ad Started",              "activity",     N, N, "",                   ""),
    ("Video Ad Playing",              "activity",     N, N, "",                   ""),
    ("Video Ad Completed",            "activity",     N, N, "",                   ""),
    ("Signed Up",                     "lifecycle",    Y, N, "lifecycle",          "signed_up"),
    ("Trial Started",                 "lifecycle",    Y, N, "lifecycle",          "trial_started"),
    ("Trial Ended",                   "lifecycle",    N, N, "lifecycle",          ""),
    ("Onboarding Step Completed",     "lifecycle",    Y, N, "lifecycle",          "onboarding_step"),
    ("Onboarding Completed",          "lifecycle",    Y, N, "lifecycle",          "onboarding_completed"),
    ("Account Created",               "lifecycle",    Y, N, "lifecycle",          ""),
    ("Account Added User",            "lifecycle",    N, N, "lifecycle",          ""),
    ("Account Removed User",          "lifecycle",    N, N, "lifecycle",          ""),
    ("Account Deleted",               "lifecycle",    N, Y, "lifecycle",          ""),
    ("Application Uninstalled",       "lifecycle",    N, Y, "lifecycle",          ""),
    ("Trial Ending",                  "lifecycle",    N, N, "",                   ""),
    ("Order Completed",               "commerce",     Y, N, "order",              "order_completed"),
    ("Order Refunded",                "commerce",     N, Y, "refund",             "order_refunded"),
    ("Order Cancelled",               "commerce",     N, N, "refund",             "order_cancelled"),
    ("Order Created",                 "commerce",     Y, N, "",                   ""),
    ("Order Updated",                 "commerce",     N, N, "",                   "order_updated"),
    ("Payment Refunded",              "commerce",     N, Y, "refund",             ""),
    ("Products Searched",             "commerce",     Y, N, "",                   ""),
    ("Product List Viewed",           "commerce",     Y, N, "",                   ""),
    ("Product List Filtered",         "commerce",     Y, N, "",                   ""),
    ("Promotion Viewed",              "commerce",     N, N, "",                   ""),
    ("Promotion Clicked",             "commerce",     Y, N, "",                   ""),
    ("Product Clicked",               "commerce",     Y, N, "",                   ""),
    ("Product Viewed",                "commerce",     Y, N, "",                   ""),
    ("Product Added",                 "commerce",     Y, N, "",                   ""),
    ("Product Removed",               "commerce",     Y, N, "",                   ""),
    ("Product Added to Wishlist",     "commerce",     Y, N, "",                   ""),
    ("Product Removed from Wishlist", "commerce",     Y, N, "",                   ""),
    ("Wishlist Product Added to Cart", "commerce",    Y, N, "",                   ""),
    ("Product Shared",                "commerce",     Y, N, "",                   ""),
    ("Cart Shared",                   "commerce",     Y, N, "",                   ""),
    ("Cart Viewed",                   "commerce",     Y, N, "",                   ""),
    ("Checkout Started",              "commerce",     Y, N, "",                   ""),
    ("Checkout Step Viewed",          "commerce",     Y, N, "",                   ""),
    ("Checkout Step Completed",       "commerce",     Y, N, "",                   ""),
    ("Payment Info Entered",          "commerce",     Y, N, "",                   ""),
    ("Coupon Entered",                "commerce",     Y, N, "",                   ""),
    ("Coupon Applied",                "commerce",     Y, N, "",                   ""),
    ("Coupon Denied",                 "commerce",     Y, N, "",                   ""),
    ("Coupon Removed",                "commerce",     Y, N, "",                   ""),
    ("Subscription Started",          "subscription", N, Y, "subscription",       "subscription"),
    ("Subscription Renewed",          "subscription", N, N, "subscription",       "subscription"),
    ("Subscription Upgraded",         "subscription", Y, Y, "subscription",       "subscription"),
    ("Subscription Downgraded",       "subscription", Y, Y, "subscription",       "subscription"),
    ("Subscription Paused",           "subscription", N, Y, "subscription",       "subscription"),
    ("Subscription Resumed",          "subscription", N, Y, "subscription",       "subscription"),
    ("Subscription Cancel Scheduled", "subscription", N, Y, "subscription",       "subscription"),
    ("Subscription Cancel Withdrawn", "subscription", N, Y, "subscription",       "subscription"),
    ("Subscription Cancelled",        "subscription", N, Y, "subscription",       "subscription"),
    ("Subscription Updated",          "subscription", N, N, "",                   ""),
    ("Payment Succeeded",             "payment",      N, N, "payment_succeeded",  "payment_settled"),
    ("Payment Failed",                "payment",      N, Y, "payment_failed",     "payment_failed"),
    ("Payment Recovered",             "payment",      N, Y, "payment_recovered",  "payment_settled"),
    ("Payment Disputed",              "payment",      N, Y, "payment_disputed",   ""),
    ("Payment Method Updated",        "payment",      Y, N, "",                   "card"),
    ("Payment Method Replaced",       "payment",      N, N, "",                   "card"),
    ("Payment Method Removed",        "payment",      Y, N, "",                   ""),
    ("Card Expiring",                 "payment",      N, N, "",                   "card"),
    ("Card Expired",                  "payment",      N, N, "",                   "card_expired"),
    ("Payment Attempted",             "payment",      N, N, "",                   ""),
    ("Invoice Created",               "payment",      N, N, "",                   ""),
    ("Invoice Sent",                  "payment",      N, N, "",                   ""),
    ("Invoice Voided",                "payment",      N, N, "",                   ""),
    ("Dispute Closed",                "payment",      N, N, "",                   ""),
    ("Ticket Created",                "support",      Y, Y, "ticket",             "tagged"),
    ("Ticket Reopened",               "support",      Y, Y, "ticket_reopened",    "tagged"),
    ("Ticket Solved",                 "support",      N, N, "ticket_solved",      "ticket_solved"),
    ("Ticket Replied",                "support",      Y, N, "",                   "ticket_updated"),
    ("Agent Replied",                 "support",      N, N, "",                   "ticket_updated"),
    ("Ticket Updated",                "support",      N, N, "",                   "ticket_updated"),
    ("Live Chat Conversation Started", "support",     Y, N, "",                   ""),
    ("Live Chat Message Sent",        "support",      Y, N, "",                   ""),
    ("Live Chat Message Received",    "support",      N, N, "",                   ""),
    ("Live Chat Conversation Ended",  "support",      N, N, "",                   ""),
    ("Survey Response Submitted",     "feedback",     Y, Y, "survey",             "survey"),
    ("Survey Sent",                   "feedback",     N, N, "",                   "survey_sent"),
    ("Review Posted",                 "feedback",     Y, Y, "feedback",           "review"),
    ("Social Mention",                "feedback",     N, N, "feedback",           "mention"),
    ("Email Sent",                    "messaging",    N, N, "message_sent",       ""),
    ("Email Delivered",               "messaging",    N, N, "message_other",      ""),
    ("Email Opened",                  "messaging",    N, N, "message_opened",     ""),
    ("Email Clicked",                 "messaging",    N, N, "message_clicked",    "clicked"),
    ("Email Link Clicked",            "messaging",    N, N, "message_clicked",    "clicked"),
    ("Email Bounced",                 "messaging",    N, N, "message_other",      ""),
    ("Email Marked as Spam",          "messaging",    N, N, "message_other",      "unsubscribed"),
    ("Email Unsubscribed",            "messaging",    N, Y, "message_other",      "unsubscribed"),
    ("Email Subscribed",              "messaging",    N, N, "message_other",      "resubscribed"),
    ("Email Dropped",                 "messaging",    N, N, "message_other",      ""),
    ("Email Converted",               "messaging",    N, N, "message_other",      ""),
    ("Push Notification Sent",        "messaging",    N, N, "message_other",      ""),
    ("Push Notification Received",    "messaging",    N, N, "message_other",      ""),
    ("Push Notification Bounced",     "messaging",    N, N, "message_other",      ""),
    ("Push Notification Dismissed",   "messaging",    N, N, "message_other",      ""),
    ("Push Notification Tapped",      "messaging",    Y, N, "message_clicked",    "clicked"),
    ("Push Token Changed",            "messaging",    N, N, "message_other",      ""),
    ("SMS Sent",                      "messaging",    N, N, "message_other",      ""),
    ("SMS Delivered",                 "messaging",    N, N, "message_other",      ""),
    ("SMS Received",                  "messaging",    N, N, "message_other",      ""),
    ("SMS Failed",                    "messaging",    N, N, "message_other",      ""),
    ("SMS Unsubscribed",              "messaging",    N, N, "message_other",      ""),
    ("SMS Link Clicked",              "messaging",    N, N, "message_clicked",    "clicked"),
    ("In-App Message Sent",           "messaging",    N, N, "message_other",      ""),
    ("In-App Message Viewed",         "messaging",    N, N, "message_other",      ""),
    ("In-App Message Dismissed",      "messaging",    N, N, "message_other",      ""),
    ("In-App Message Clicked",        "messaging",    Y, N, "message_clicked",    "clicked"),
    ("Content Card Sent",             "messaging",    N, N, "message_other",      ""),
    ("Content Card Viewed",           "messaging",    N, N, "message_other",      ""),
    ("Content Card Dismissed",        "messaging",    N, N, "message_other",      ""),
    ("Content Card Clicked",          "messaging",    Y, N, "message_clicked",    "clicked"),
    ("Web Push Clicked",              "messaging",    Y, N, "message_clicked",    "clicked"),
    ("Message Skipped",               "messaging",    N, N, "message_other",      ""),
    ("Campaign Converted",            "messaging",    N, N, "message_other",      ""),
    ("Campaign Control Enrolled",     "messaging",    N, N, "message_other",      ""),
    ("Journey Entered",               "messaging",    N, N, "message_other",      ""),
    ("Journey Exited",                "messaging",    N, N, "message_other",      ""),
    ("Webhook Sent",                  "messaging",    N, N, "message_other",      ""),
    ("Subscription Group Changed",    "messaging",    N, N, "message_other",      ""),
    ("Referral Sent",                 "referral",     Y, N, "referral_sent",      ""),
    ("Referral Converted",            "referral",     N, N, "referral_converted", ""),
    ("Renewal Due Set",               "crm",          N, N, "crm",                "renewal_due"),
    ("Meeting Held",                  "crm",          N, N, "crm",                ""),
    ("identify",                      "identity",     N, N, "identity",           "traits"),
    ("group",                         "identity",     N, N, "identity",           "traits"),
    ("alias",                         "identity",     N, N, "identity",           ""),
    ("Customer Created",              "identity",     N, N, "identity",           ""),
    ("Customer Updated",              "identity",     N, N, "identity",           ""),
    ("Contact Tagged",                "identity",     N, N, "identity",           ""),
    ("Consent Updated",               "identity",     N, N, "identity",           "consent"),
    ("User Deletion Requested",       "identity",     N, N, "",                   "deletion"),
    ("Alert Acknowledged",            "loop",         N, N, "",                   "alert"),
    ("Alert Snoozed",                 "loop",         N, N, "",                   "alert"),
    ("Alert Dismissed",               "loop",         N, N, "",                   "alert"),
    ("Intervention Sent",             "loop",         N, N, "intervention",       ""),
)
# fmt: on

MEANINGS: dict[str, Meaning] = {
    name: Meaning(family, engaged, decisive, COUNTER_INDEX.get(counter, -1), effect)
    for name, family, engaged, decisive, counter, effect in _TABLE
}
UNKNOWN = Meaning("activity", True, False, -1, "")
UNKNOWN_PASSIVE = Meaning("activity", False, False, -1, "")

# Rows that change nothing, and why. Each would otherwise count as engagement, being unlisted.
IGNORED: Final = {
    "Application Backgrounded": "It ends a visit that Application Opened has counted, often without the customer.",
    "Token Refreshed": "Clients renew their tokens by themselves.",
    "Application Updated": "Stores update applications by themselves.",
    "Install Attributed": "An advertising network reports it.",
    "Experiment Viewed": "The product assigns the variant.",
    "Video Content Playing": "Players send it every few seconds, also to an empty room.",
    "Video Playback Interrupted": "The network or the device interrupts.",
    "Video Playback Buffer Started": "The player buffers.",
    "Video Playback Buffer Completed": "The player buffers.",
    "Video Quality Updated": "The player adapts to the network.",
    "Video Ad Started": "The player shows it.",
    "Video Ad Playing": "The player shows it.",
    "Video Ad Completed": "The player shows it.",
    "Trial Ending": "A reminder. Trial Ended follows.",
    "Promotion Viewed": "The shop shows it.",
    "Subscription Updated": "It does not state what changed: send Subscription Upgraded, Downgraded or Paused.",
    "Payment Attempted": "Part of a payment that ends as Payment Succeeded or Payment Failed.",
    "Invoice Created": "A demand for payment. Payment Succeeded or Payment Failed follows.",
    "Invoice Sent": "A demand for payment. Payment Succeeded or Payment Failed follows.",
    "Invoice Voided": "It ends a demand for payment, not a relationship.",
    "Dispute Closed": "The outcome is a refund or nothing.",
    "Live Chat Message Received": "The customer only receives it.",
    "Live Chat Conversation Ended": "Either side can end it, or a timeout.",
}

# Events that act on a customer or on an alert instead of reporting what a customer did. Anyone who may publish such an
# event can delete a customer or silence an alert, so workers accept it only with a valid signature.
CONTROL_EVENTS = frozenset(
    {
        "User Deletion Requested",
        "Consent Updated",
        "Alert Acknowledged",
        "Alert Snoozed",
        "Alert Dismissed",
        "Intervention Sent",
    }
)

# Effects that change no section of a profile (commerce, subscription, ...).
LIGHT_EFFECTS = frozenset({"", "feature"})


def meaning(name: str) -> Meaning:
    """Look up a canonical event name in the table. A name that is not listed is classed by its form.

    >>> meaning("Payment Failed").decisive, meaning("Level Finished").engaged, meaning("Digest Sent").engaged
    (True, True, False)
    """
    row = MEANINGS.get(name)
    if row is None:
        row = UNKNOWN_PASSIVE if is_passive(name) else UNKNOWN
    return row

"""The table of known event names: family, engagement, immediate scoring, counter and effect of each.

This table is the only place that defines the meaning of an event name. An event name that is not listed counts as
activity by the customer: it is valid and counts as engagement.

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

from typing import NamedTuple

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
    ("Goal Completed",                "activity",     Y, N, "goal",               "goal"),
    ("Signed Up",                     "lifecycle",    Y, N, "lifecycle",          "signed_up"),
    ("Trial Started",                 "lifecycle",    Y, N, "lifecycle",          "trial_started"),
    ("Trial Ended",                   "lifecycle",    N, N, "lifecycle",          ""),
    ("Onboarding Step Completed",     "lifecycle",    Y, N, "lifecycle",          "onboarding_step"),
    ("Onboarding Completed",          "lifecycle",    Y, N, "lifecycle",          "onboarding_completed"),
    ("Order Completed",               "commerce",     Y, N, "order",              "order_completed"),
    ("Order Refunded",                "commerce",     N, Y, "refund",             "order_refunded"),
    ("Order Cancelled",               "commerce",     N, N, "refund",             ""),
    ("Subscription Started",          "subscription", N, Y, "subscription",       "subscription"),
    ("Subscription Renewed",          "subscription", N, N, "subscription",       "subscription"),
    ("Subscription Upgraded",         "subscription", Y, Y, "subscription",       "subscription"),
    ("Subscription Downgraded",       "subscription", Y, Y, "subscription",       "subscription"),
    ("Subscription Paused",           "subscription", N, Y, "subscription",       "subscription"),
    ("Subscription Resumed",          "subscription", N, Y, "subscription",       "subscription"),
    ("Subscription Cancel Scheduled", "subscription", N, Y, "subscription",       "subscription"),
    ("Subscription Cancel Withdrawn", "subscription", N, Y, "subscription",       "subscription"),
    ("Subscription Cancelled",        "subscription", N, Y, "subscription",       "subscription"),
    ("Payment Succeeded",             "payment",      N, N, "payment_succeeded",  "payment_settled"),
    ("Payment Failed",                "payment",      N, Y, "payment_failed",     "payment_failed"),
    ("Payment Recovered",             "payment",      N, Y, "payment_recovered",  "payment_settled"),
    ("Payment Disputed",              "payment",      N, Y, "payment_disputed",   ""),
    ("Payment Method Updated",        "payment",      Y, N, "",                   "card"),
    ("Ticket Created",                "support",      Y, Y, "ticket",             "tagged"),
    ("Ticket Reopened",               "support",      Y, Y, "ticket_reopened",    "tagged"),
    ("Ticket Solved",                 "support",      N, N, "ticket_solved",      "ticket_solved"),
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
    ("Referral Sent",                 "referral",     Y, N, "referral_sent",      ""),
    ("Referral Converted",            "referral",     N, N, "referral_converted", ""),
    ("Renewal Due Set",               "crm",          N, N, "crm",                "renewal_due"),
    ("Meeting Held",                  "crm",          N, N, "crm",                ""),
    ("identify",                      "identity",     N, N, "identity",           "traits"),
    ("group",                         "identity",     N, N, "identity",           "traits"),
    ("alias",                         "identity",     N, N, "identity",           ""),
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
    """Look up an event name in the table. A name that is not listed is activity.

    >>> meaning("Payment Failed").decisive, meaning("Level Finished").engaged
    (True, True)
    """
    return MEANINGS.get(name, UNKNOWN)

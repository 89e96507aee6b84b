"""Other names of listed events, as the sources of common products send them.

An alias means exactly what the listed event means, and its properties agree or are read by `SOURCES`. An event of a
source that has no listed counterpart has a row of its own in `models.events.taxonomy`. Spelling variants need no alias:
`subscription_cancelled` is found by `models.events.spelling`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from models.events.property_source import PropertySource


class AliasSource(NamedTuple):
    """The names of one source: canonical name to the source's names, separated by commas."""

    source: str
    names: Mapping[str, str]


ALIAS_SOURCES: Final = (
    AliasSource(
        "Segment and RudderStack",
        {
            "page": "Page Viewed, Viewed Page, Page View, Pageview",
            "screen": "Screen Viewed, Viewed Screen, Screen View",
            "Signed In": "Logged In, Sign In, User Signed In, User Logged In, Login",
            "Signed Out": "Logged Out, Logout, User Logged Out",
            "Signed Up": "Sign Up, User Signed Up, User Registered",
            "Trial Ended": "Trial Expired",
            "Email Unsubscribed": "Unsubscribed",
            "Review Posted": "Product Reviewed",
            "Push Notification Tapped": "Push Notification Opened, Push Notification Clicked",
            "Push Notification Received": "Push Notification Delivered",
            "Invite Sent": "Invitation Sent",
            "Subscription Cancelled": "Subscription Ended, Subscription Expired, Subscription Terminated",
            "Application Uninstalled": "App Uninstalled",
            "Application Opened": "App Opened",
            "Application Installed": "App Installed",
        },
    ),
    AliasSource(
        "Braze",
        {
            "Session Started": "users.behaviors.app.SessionStart, users.behaviors.app.FirstSession",
            "Session Ended": "users.behaviors.app.SessionEnd",
            "Application Uninstalled": "users.behaviors.Uninstall",
            "Email Sent": "users.messages.email.Send",
            "Email Delivered": "users.messages.email.Delivery",
            "Email Opened": "users.messages.email.Open",
            "Email Clicked": "users.messages.email.Click",
            "Email Bounced": "users.messages.email.Bounce, users.messages.email.SoftBounce, Email Soft Bounced",
            "Email Marked as Spam": "users.messages.email.MarkAsSpam",
            "Email Unsubscribed": "users.messages.email.Unsubscribe",
            "Push Notification Sent": "users.messages.pushnotification.Send",
            "Push Notification Tapped": "users.messages.pushnotification.Open, iOS Foreground Push Opened, "
            "users.messages.pushnotification.IosForeground",
            "Push Notification Bounced": "users.messages.pushnotification.Bounce",
            "In-App Message Viewed": "users.messages.inappmessage.Impression",
            "In-App Message Clicked": "users.messages.inappmessage.Click",
            "SMS Sent": "users.messages.sms.Send, users.messages.sms.CarrierSend, SMS Sent to Carrier",
            "SMS Delivered": "users.messages.sms.Delivery",
            "SMS Failed": "users.messages.sms.DeliveryFailure, users.messages.sms.Rejection, SMS Delivery Failed, "
            "SMS Rejected",
            "SMS Received": "users.messages.sms.InboundReceive, Inbound SMS Received",
            "SMS Link Clicked": "users.messages.sms.ShortLinkClick",
            "Content Card Sent": "users.messages.contentcard.Send",
            "Content Card Viewed": "users.messages.contentcard.Impression, News Feed Viewed",
            "Content Card Clicked": "users.messages.contentcard.Click, News Feed Card Clicked",
            "Content Card Dismissed": "users.messages.contentcard.Dismiss",
            "Webhook Sent": "users.messages.webhook.Send",
            "Campaign Converted": "users.campaigns.Conversion, users.canvas.Conversion, Canvas Converted",
            "Campaign Control Enrolled": "users.campaigns.EnrollInControl",
            "Journey Entered": "users.canvas.Entry, users.canvasstep.Progression, "
            "users.canvas.experimentstep.SplitEntry, Canvas Entered",
            "Journey Exited": "users.canvas.exit.MatchedAudience, users.canvas.exit.PerformedEvent, Canvas Exited",
            "Install Attributed": "users.behaviors.InstallAttribution",
            "Push Token Changed": "users.behaviors.pushnotification.TokenStateChange",
            "Message Skipped": "users.campaigns.FrequencyCap, users.canvas.FrequencyCap, users.messages.email.Abort, "
            "users.messages.pushnotification.Abort, "
            "users.messages.sms.Abort, users.messages.inappmessage.Abort, users.messages.webhook.Abort",
            "Subscription Group Changed": "Subscription Group State Changed, "
            "users.behaviors.subscriptiongroup.StateChange, users.behaviors.subscription.GlobalStateChange",
        },
    ),
    AliasSource(
        "Iterable",
        {
            "Email Sent": "emailSend, Blast Send",
            "Email Opened": "emailOpen",
            "Email Clicked": "emailClick, hostedUnsubscribeClick",
            "Email Bounced": "emailBounce",
            "Email Marked as Spam": "emailComplaint, emailComplained",
            "Email Subscribed": "emailSubscribe",
            "Email Unsubscribed": "emailUnSubscribe",
            "Push Notification Sent": "pushSend, webPushSend",
            "Push Notification Tapped": "pushOpen",
            "Push Notification Bounced": "pushBounce",
            "Application Uninstalled": "pushUninstall",
            "Web Push Clicked": "webPushClick",
            "SMS Sent": "smsSend",
            "SMS Failed": "smsBounce",
            "SMS Link Clicked": "smsClick",
            "In-App Message Sent": "inAppSend",
            "In-App Message Viewed": "inAppOpen, inAppDelivery",
            "In-App Message Clicked": "inAppClick",
            "In-App Message Dismissed": "inAppClose, inAppDelete",
            "Message Skipped": "emailSendSkip, pushSendSkip, smsSendSkip, inAppSendSkip, webPushSendSkip",
            "Webhook Sent": "webhookSend",
        },
    ),
    AliasSource(
        "Customer.io",
        {
            "Email Marked as Spam": "email_spammed",
            "Email Dropped": "email_failed, email_deferred, email_undeliverable",
            "Email Unsubscribed": "customer_unsubscribed",
            "Email Subscribed": "customer_subscribed",
            "Push Notification Sent": "push_sent",
            "Push Notification Received": "push_delivered",
            "Push Notification Tapped": "push_opened, push_clicked, Push Link Clicked",
            "Push Notification Bounced": "push_bounced, push_failed, push_dropped",
            "SMS Failed": "sms_bounced, sms_dropped, sms_undeliverable",
            "SMS Link Clicked": "sms_clicked",
            "In-App Message Sent": "in_app_sent",
            "In-App Message Viewed": "in_app_opened, in_app_message_opened",
            "In-App Message Clicked": "in_app_clicked",
            "Campaign Converted": "push_converted, sms_converted, in_app_converted",
        },
    ),
    AliasSource(
        "Other sources of RudderStack (Auth0, Ortto, RevenueCat, Shopify)",
        {
            "Signed In": "Success Login",
            "Signed Out": "Success Logout",
            "Signed Up": "Success Signup",
            "Token Refreshed": "Success Silent Auth, Failed Silent Auth, Success Exchange, Failed Exchange, "
            "Success API Operation, Success cross-origin authentication",
            "Email Sent": "Sent email",
            "Email Delivered": "Received email",
            "Email Opened": "Opened email, Viewed email online",
            "Email Clicked": "Clicked email",
            "Email Bounced": "Bounced email, Invalid email",
            "Email Dropped": "Deferred email",
            "Email Unsubscribed": "Un subscribe from all email",
            "Email Subscribed": "Resubscribe globally",
            "Message Skipped": "Skipped email",
            "Push Notification Sent": "Sent push",
            "Push Notification Received": "Delivered push",
            "Push Notification Tapped": "Clicked push",
            "In-App Message Viewed": "Shown widget",
            "In-App Message Clicked": "Clicked widget",
            "In-App Message Dismissed": "Dismissed widget",
            "Journey Entered": "Entered journey, Entered playbook",
            "Journey Exited": "Left journey, Left playbook",
            "Contact Tagged": "Entered audience, Left audience, Tag added, Tag removed",
            "Live Chat Conversation Started": "Conversation opened",
            "Live Chat Conversation Ended": "Conversation closed",
            "Ticket Updated": "Conversation assigned, Conversation snoozed, Conversation tagged, "
            "Conversation un-tagged",
            "Subscription Started": "INITIAL_PURCHASE",
            "Subscription Cancel Withdrawn": "UNCANCELLATION",
            "Payment Failed": "BILLING_ISSUE",
            "Order Updated": "Order Paid, Order Fulfilled, Order Partially Fulfilled, Order Edited, Order Deleted, "
            "Fulfillments Create, Fulfillments Update",
            "Customer Updated": "Customer Enabled, Customer Disabled, Customer Tags Added, Customer Tags Removed, "
            "Customer Email Updated",
        },
    ),
    AliasSource(
        "Intercom",
        {
            "Ticket Created": "conversation.user.created",
            "Ticket Replied": "conversation.user.replied, ticket.contact.replied",
            "Ticket Solved": "conversation.admin.closed, ticket.closed",
            "Agent Replied": "conversation.admin.replied, ticket.admin.replied, conversation.admin.single.created",
            "Ticket Updated": "conversation.admin.assigned, conversation.admin.noted, conversation.admin.snoozed, "
            "conversation.admin.unsnoozed, conversation.admin.opened, conversation.priority.updated, "
            "conversation_part.tag.created, ticket.state.updated, ticket.admin.assigned, ticket.attribute.updated",
            "Survey Response Submitted": "conversation.rating.added, ticket.rating.provided",
            "Customer Created": "contact.user.created, contact.lead.created, contact.created, user.created",
            "Customer Updated": "contact.user.updated, contact.lead.updated, contact.email.updated, user.email.updated",
            "Contact Tagged": "contact.user.tag.created, contact.lead.tag.created, user.tag.created, user.tag.deleted",
            "Signed Up": "contact.lead.signed_up, contact.signed_up, visitor.signed_up",
            "Account Deleted": "contact.deleted",
            "Email Unsubscribed": "contact.unsubscribed, user.unsubscribed",
        },
    ),
    AliasSource(
        "Zendesk",
        {
            "Ticket Updated": "ticket.status_changed, ticket.priority_changed, ticket.agent_assignment_changed, "
            "ticket.group_assignment_changed, ticket.tags_changed, ticket.subject_changed, ticket.merged",
            "Ticket Replied": "ticket.comment_added",
        },
    ),
    AliasSource(
        "Stripe",
        {
            "Subscription Started": "customer.subscription.created",
            "Subscription Updated": "customer.subscription.updated, customer.subscription.pending_update_applied, "
            "customer.subscription.pending_update_expired",
            "Subscription Paused": "customer.subscription.paused",
            "Subscription Resumed": "customer.subscription.resumed",
            "Subscription Cancelled": "customer.subscription.deleted",
            "Trial Ending": "customer.subscription.trial_will_end",
            "Payment Succeeded": "invoice.payment_succeeded, invoice.paid",
            "Payment Failed": "invoice.payment_failed",
            "Payment Attempted": "charge.succeeded, charge.pending, charge.failed, charge.captured, "
            "payment_intent.created, payment_intent.processing, payment_intent.succeeded, "
            "payment_intent.payment_failed, invoice.payment_action_required",
            "Payment Refunded": "charge.refunded",
            "Payment Disputed": "charge.dispute.created",
            "Dispute Closed": "charge.dispute.closed, charge.dispute.funds_reinstated",
            "Invoice Created": "invoice.finalized, invoice.upcoming, invoice.updated",
            "Invoice Voided": "invoice.marked_uncollectible, invoice.deleted",
            "Payment Method Updated": "payment_method.attached, customer.source.created, customer.source.updated",
            "Payment Method Replaced": "payment_method.automatically_updated",
            "Payment Method Removed": "payment_method.detached, customer.source.deleted",
            "Card Expiring": "customer.source.expiring",
        },
    ),
    AliasSource(
        "Chargebee",
        {
            "Subscription Started": "subscription_created, subscription_activated, subscription_reactivated",
            "Subscription Updated": "subscription_changed, subscription_changes_scheduled",
            "Subscription Cancel Scheduled": "subscription_cancellation_scheduled",
            "Subscription Cancel Withdrawn": "subscription_scheduled_cancellation_removed",
            "Subscription Cancelled": "subscription_deleted",
            "Trial Ending": "subscription_trial_end_reminder",
            "Payment Attempted": "payment_initiated",
            "Invoice Created": "invoice_generated",
            "Payment Method Updated": "card_added, card_updated, payment_source_added, payment_source_updated",
            "Payment Method Removed": "card_deleted, payment_source_deleted",
            "Card Expiring": "card_expiry_reminder, payment_source_expiring",
            "Card Expired": "payment_source_expired",
            "Account Deleted": "customer_deleted",
            "Customer Updated": "customer_changed",
        },
    ),
)

_READ: Final[Mapping[str, Mapping[str, str]]] = {
    "customer.subscription.created": {"subscription_id": "id"},
    "customer.subscription.paused": {"subscription_id": "id"},
    "customer.subscription.resumed": {"subscription_id": "id"},
    "customer.subscription.deleted": {
        "subscription_id": "id",
        "reason": "cancellation_details.reason",
        "feedback": "cancellation_details.feedback",
    },
    "conversation.user.created": {"ticket_id": "id"},
    "conversation.admin.closed": {"ticket_id": "id"},
    "ticket.closed": {"ticket_id": "id"},
    "conversation.rating.added": {"kind": "=csat", "score": "conversation_rating.rating"},
    "ticket.rating.provided": {"kind": "=csat", "score": "rating"},
}
"""Alias to the properties that its source sends elsewhere: a path, or a constant after `=`. A property that is present
under the listed event's own name keeps its value."""

_WRAPPERS: Final = ((), ("data", "object"), ("item",), ("data", "item"))
"""Where webhooks of Stripe and Intercom put the object, if a publisher sends the whole notification."""


def _sources(alias: str) -> tuple[PropertySource, ...]:
    sources = []
    for name, where in _READ.get(alias, {}).items():
        if where.startswith("="):
            sources.append(PropertySource(name, (), where[1:]))
        else:
            path = tuple(where.split("."))
            sources += [PropertySource(name, (*wrapper, *path)) for wrapper in _WRAPPERS]
    return tuple(sources)


ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {alias: name for source in ALIAS_SOURCES for name, listed in source.names.items() for alias in listed.split(", ")}
)
"""Alias to canonical name."""

SOURCES: Final[Mapping[str, tuple[PropertySource, ...]]] = MappingProxyType({alias: _sources(alias) for alias in _READ})
"""Alias to where its properties are."""

__all__ = ["ALIASES", "ALIAS_SOURCES", "SOURCES", "AliasSource"]

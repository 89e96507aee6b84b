"""Turn rows of exports of other products into calls of the event format.

source              what an import source is, and the reasons for rows without an event
calls               the parts that every call is made of: customer, time, ID and properties
billing_amounts     minor units, and prices converted to a month
plan_changes        whether a changed subscription became more or less expensive
stripe, stripe_subscription, stripe_disputes, chargebee          billing
ga4, amplitude, mixpanel, posthog, snowplow     product analytics
rudderstack         a customer data platform
csv_mapping         any CSV file, by a mapping of its columns
conversion          rows to lines of the event format
import_report       the outcomes of an import, counted
"""

from __future__ import annotations

from typing import Final

from models.imports.amplitude import AMPLITUDE
from models.imports.chargebee import CHARGEBEE
from models.imports.ga4 import GA4
from models.imports.mixpanel import MIXPANEL
from models.imports.posthog import POSTHOG
from models.imports.rudderstack import RUDDERSTACK
from models.imports.snowplow import SNOWPLOW
from models.imports.source import ImportSource
from models.imports.stripe import STRIPE

SOURCES: Final[dict[str, ImportSource]] = {
    source.name: source for source in (STRIPE, CHARGEBEE, GA4, AMPLITUDE, MIXPANEL, POSTHOG, RUDDERSTACK, SNOWPLOW)
}
"""Sources of JSON, by the name that `--from` takes."""

__all__ = ["SOURCES", "ImportSource"]

"""Turn the bytes of a Kafka record into an event, or into a reason for rejecting it.

event        the `Event` that the rest of the program sees, and `decode`, the only way to get one
envelope     schema-registry frame, CloudEvents and Segment call; limits of size and depth
log_order    whether a log is in order of event time
coercion     tolerant readers for numbers, texts and times
money        amounts with their currency; amount_text reads their formats
readers      readers of properties: the first readable of several names, scales, durations, flags
identity     the customer of a call, and ids that identify no customer
context      what a call states beside its properties
rejection    the rejection reasons, and what the sender must change
taxonomy     what each event means: family, engagement, counter, effect
unreadable   the counts of properties that are present and cannot be used
event_names  which event a name means, in any spelling; aliases of other products; near misses
"""

from __future__ import annotations

from models.events.coercion import as_number, text, time_ms
from models.events.event import Event, decode, meaning_of
from models.events.event_names import EventNames, near
from models.events.money import minor_units
from models.events.rejection import REASONS, Rejected
from models.events.taxonomy import CONTROL_EVENTS, COUNTERS, MEANINGS, Meaning, meaning
from models.events.unreadable import UnreadableCounts, unreadable

__all__ = [
    "CONTROL_EVENTS",
    "COUNTERS",
    "MEANINGS",
    "REASONS",
    "Event",
    "EventNames",
    "Meaning",
    "Rejected",
    "UnreadableCounts",
    "as_number",
    "decode",
    "meaning",
    "meaning_of",
    "minor_units",
    "near",
    "text",
    "time_ms",
    "unreadable",
]

"""Sentences about properties of events that are present and cannot be used."""

from __future__ import annotations

from models.events.unreadable import UnreadableCounts

PROPERTIES_SHOWN = 12  # the most frequent; the JSON report lists all


def unreadable_sentences(counts: UnreadableCounts) -> list[str]:
    """Return one sentence per event and property, the most frequent first. Positions are line numbers.

    >>> from models.events.unreadable import UnreadableCount, UnreadableProperty
    >>> pair = UnreadableProperty("Social Mention", "sentiment")
    >>> unreadable_sentences(UnreadableCounts([(pair, UnreadableCount(1204, 17, 90_001))]))
    ['Unreadable: sentiment of Social Mention, 1,204 times (first in line 17, last in line 90,001).']
    """
    ordered = counts.most_frequent()
    sentences = []
    for (event, name), found in ordered[:PROPERTIES_SHOWN]:
        where = f"line {found.first:,}"
        if found.events > 1:
            where = f"first in {where}, last in line {found.newest:,}"
        times = "once" if found.events == 1 else f"{found.events:,} times"
        sentences.append(f"Unreadable: {name} of {event}, {times} ({where}).")
    if len(ordered) > PROPERTIES_SHOWN:
        sentences.append(f"Unreadable: {len(ordered) - PROPERTIES_SHOWN:,} more properties.")
    return sentences

"""What may come of an alert event, and of one attempt to deliver it: the words of metrics and dead letters."""

from __future__ import annotations

from typing import Final

# Of an attempt.
DELIVERED: Final = "delivered"
FAILED: Final = "failed"
"""To be tried again."""
REFUSED: Final = "refused"
REDIRECTED: Final = "redirected"
ATTEMPTS: Final = (DELIVERED, FAILED, REFUSED, REDIRECTED)

# Of an alert event.
SKIPPED: Final = "skipped"
DEAD_LETTER: Final = "dead_letter"
ENDS: Final = (DELIVERED, SKIPPED, DEAD_LETTER)

# Why one is a dead letter, for the header `churn.reason`.
GAVE_UP: Final = "gave_up"
UNREADABLE: Final = "unreadable"
BAD_BODY: Final = "bad_body"
REASONS: Final = (REFUSED, REDIRECTED, GAVE_UP, UNREADABLE, BAD_BODY)

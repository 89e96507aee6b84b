"""Outcomes of alert events and of delivery attempts: label values of metrics and reasons of dead letters."""

from __future__ import annotations

from typing import Final

# Outcomes of an attempt. A failed attempt is retried, a refused or redirected one is not.
DELIVERED: Final = "delivered"
FAILED: Final = "failed"
REFUSED: Final = "refused"
REDIRECTED: Final = "redirected"
ATTEMPT_OUTCOMES: Final = (DELIVERED, FAILED, REFUSED, REDIRECTED)

# Outcomes of an alert event.
SKIPPED: Final = "skipped"
DEAD_LETTER: Final = "dead_letter"
EVENT_OUTCOMES: Final = (DELIVERED, SKIPPED, DEAD_LETTER)

# Reasons of dead letters, in the header `churn.reason`.
GAVE_UP: Final = "gave_up"
UNREADABLE: Final = "unreadable"
BAD_BODY: Final = "bad_body"
REASONS: Final = (REFUSED, REDIRECTED, GAVE_UP, UNREADABLE, BAD_BODY)

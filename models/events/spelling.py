"""Compare event names by their words: case, separators and British or American spelling make no difference.

Libraries and warehouses rewrite names: `Order Completed` becomes `order_completed`, `orderCompleted` or
`order-completed`. `fold` maps all of them to one text, and `name_words` splits a name where its spelling shows words.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_SEPARATORS: Final = str.maketrans(dict.fromkeys(map(ord, " \t\r\n\f\v_-.:,;/\\|'\"`()[]{}<>~$")))
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+|\d+")
_VARIANTS: Final = (
    ("ncelled", "nceled"),
    ("ncelling", "nceling"),
    ("ncelation", "ncellation"),
    ("isation", "ization"),
    ("ised", "ized"),
    ("avour", "avor"),
)
"""British and American forms. Both sides of a comparison are folded, so a pair may also hit other words."""


def fold(name: str) -> str:
    """Reduce a name to what all its spellings have in common. Symbols such as + and # remain: `A+` is not `A`.

    >>> {fold(name) for name in ("Order Completed", "order_completed", "orderCompleted", "ORDER-COMPLETED ")}
    {'ordercompleted'}
    >>> fold("Subscription Cancelled") == fold("subscription.canceled")
    True
    """
    if name.isascii():
        folded = name.lower().translate(_SEPARATORS)
    else:
        plain = unicodedata.normalize("NFKC", name).casefold().translate(_SEPARATORS)
        folded = "".join(each for each in plain if unicodedata.category(each)[0] not in "ZC")
    return american(folded)


def american(text: str) -> str:
    """Replace British spellings in a lower-case text.

    >>> american("cancelled"), american("sent")
    ('canceled', 'sent')
    """
    for british, other in _VARIANTS:
        if british in text:
            text = text.replace(british, other)
    return text


def name_words(name: str) -> list[str]:
    """Split a name into lower-case words at separators, digits and changes of case.

    >>> name_words("users.messages.email.SoftBounce"), name_words("SMSDelivered"), name_words("order_completed")
    (['users', 'messages', 'email', 'soft', 'bounce'], ['sms', 'delivered'], ['order', 'completed'])
    """
    return [american(word.lower()) for word in _WORD.findall(name)]

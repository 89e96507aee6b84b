"""Symmetric webhook signatures of the Standard Webhooks specification, version 1.0.0.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "whsec_"
# Limits of the specification: 192 bits cannot be guessed, and more than 512 bits add nothing to SHA-256.
KEY_BYTES: Final = (24, 64)


def key_of(secret: str) -> bytes:
    """Decode the key of a secret: base64, with or without the prefix `whsec_`.

    Raises:
        ValueError: the secret is not base64, or its key is too short or too long. The message never quotes the secret.
    """
    try:
        key = base64.b64decode(secret.strip().removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"it must be {PREFIX} followed by base64") from None
    minimum, maximum = KEY_BYTES
    if not minimum <= len(key) <= maximum:
        raise ValueError(
            f"it must be base64 of {minimum} to {maximum} bytes and has {len(key)};"
            " generate one with: openssl rand -base64 32"
        )
    return key


def sign(keys: Iterable[bytes], message_id: str, sent_s: int, body: bytes) -> str:
    """Return the header `webhook-signature`: one signature per key, so that a receiver can rotate its secret.

    >>> key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    >>> sign([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = f"{message_id}.{sent_s}.".encode() + body
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)

"""Who a webhook is from: the symmetric signature of the Standard Webhooks specification, version 1.0.0.

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
# The specification's bounds: 192 bits are out of reach, and more than 512 add nothing to SHA-256.
KEY_BYTES: Final = (24, 64)


def key_of(secret: str) -> bytes:
    """The key that a secret stands for: base64, with or without `whsec_` in front.

    Raises ValueError, which never quotes the secret.
    """
    try:
        key = base64.b64decode(secret.strip().removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"it must be {PREFIX} and base64") from None
    least, most = KEY_BYTES
    if not least <= len(key) <= most:
        raise ValueError(f"it must be base64 of {least} to {most} bytes and has {len(key)}: openssl rand -base64 32")
    return key


def sign(keys: Iterable[bytes], message_id: str, at_s: int, body: bytes) -> str:
    """The value of `webhook-signature`: one signature a key, so that a receiver may change its secret meanwhile.

    >>> key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    >>> sign([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = f"{message_id}.{at_s}.".encode() + body
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)

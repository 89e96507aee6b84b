"""Claim 7: TLS verifies the broker's identity."""

from __future__ import annotations

import ssl

import pytest

from streams.settings import Settings


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_certificate_and_host_name_are_verified_by_default(protocol: str) -> None:
    context = Settings(kafka_security_protocol=protocol).connection()["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_certificate_is_verified_without_the_host_name_check() -> None:
    """Rule: no setting accepts an untrusted certificate."""
    settings = Settings(kafka_security_protocol="SSL", kafka_ssl_check_hostname=False)
    context = settings.connection()["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)

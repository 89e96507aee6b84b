"""The embedded broker: a directory stays the same broker after stops, kills and restarts."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import AbstractTokenProvider
from click.testing import CliRunner

from streams.cli.broker import broker as broker_command
from streams.devbroker import kafka_jars
from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.devbroker.kafka_jars import BrokerUnavailable
from streams.errors import BrokerUnreachable, TopicMismatch
from streams.settings import Settings
from streams.topics import TOPICS, create_topics, verify_topics
from tests.crash.harness import Run
from tests.processes import wait_ended
from tests.waiting import WAIT_S


class UnsecuredTokens(AbstractTokenProvider):
    """Tokens without a signature (RFC 7515, appendix A.5)."""

    valid_s = 3_600

    async def token(self) -> str:
        claims = {"sub": "u", "iat": int(time.time()) - 7_200, "exp": int(time.time()) + self.valid_s}
        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "none"}, claims)]
        return b".".join([*parts, b""]).decode()


class ExpiredTokens(UnsecuredTokens):
    """Tokens that the broker refuses."""

    valid_s = -3_600


def test_broker_outlives_the_thread_that_started_it_and_keeps_data_and_address(tmp_path: Path) -> None:
    """Rule: the broker ends with the process that started it, not with the thread that called `start`. The directory
    keeps data and port, so that clients find both after a kill -9."""

    async def write(address: str) -> None:
        await create_topics(Settings(kafka_bootstrap_servers=address))
        async with AIOKafkaProducer(bootstrap_servers=address) as producer:
            await producer.send_and_wait("customer-events", b"kept", partition=0)

    async def read(address: str) -> bytes:
        async with AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest") as consumer:
            consumer.assign([TopicPartition("customer-events", 0)])
            return (await asyncio.wait_for(consumer.getone(), WAIT_S)).value

    broker = EmbeddedBroker(tmp_path)
    starter = threading.Thread(target=broker.start)
    starter.start()
    starter.join()
    try:
        time.sleep(0.5)
        socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_S).close()
        address = broker.address
        asyncio.run(write(address))
        broker.kill()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_S)
        broker.start()
        assert broker.address == address
        assert asyncio.run(read(address)) == b"kept"
    finally:
        broker.stop()


def test_broker_ends_with_a_killed_parent_process(tmp_path: Path) -> None:
    """Rule: no process remains, even after a kill -9 of the program that started the broker."""
    program = f"""
import sys, time
from pathlib import Path
from streams.devbroker.embedded_broker import EmbeddedBroker
print(EmbeddedBroker(Path({str(tmp_path)!r})).start().pid, flush=True)
time.sleep(300)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_ended([pid])


def test_sasl_accepts_the_right_password_and_reports_a_wrong_one(tmp_path: Path) -> None:
    """Rule: every client uses the security settings, and a wrong password is a one-line error, not a hang. The password
    may come from a file, and a token from a provider; Kafka accepts unsecured tokens in tests."""
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p" user_u="p";'
    properties = {
        "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN,OAUTHBEARER",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.client.plain.sasl.jaas.config": login,
        "listener.name.client.oauthbearer.sasl.jaas.config": "org.apache.kafka.common.security.oauthbearer"
        '.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="u";',
    }
    with EmbeddedBroker(tmp_path, properties=properties) as broker:
        right = Settings(
            kafka_bootstrap_servers=broker.address,
            kafka_security_protocol="SASL_PLAINTEXT",
            kafka_sasl_username="u",
            kafka_sasl_password="p",
        )
        assert "customer-events" in asyncio.run(create_topics(right))
        wrong = Settings(**{**vars(right), "kafka_sasl_password": "q"})
        with pytest.raises(BrokerUnreachable, match="user name and password"):
            asyncio.run(verify_topics(wrong))
        (tmp_path / "password").write_text("p\n")
        from_file = Settings(
            **{**vars(right), "kafka_sasl_password": "", "kafka_sasl_password_file": f"{tmp_path}/password"}
        )
        assert "customer-events" in asyncio.run(verify_topics(from_file))
        tokens = {"kafka_sasl_mechanism": "OAUTHBEARER", "kafka_sasl_token_provider": f"{__name__}:UnsecuredTokens"}
        assert "customer-events" in asyncio.run(verify_topics(Settings(**{**vars(right), **tokens})))
        expired = {**tokens, "kafka_sasl_token_provider": f"{__name__}:ExpiredTokens"}
        with pytest.raises(BrokerUnreachable, match="the tokens of CHURN_KAFKA_SASL_TOKEN_PROVIDER"):
            asyncio.run(verify_topics(Settings(**{**vars(right), **expired})))


def test_missing_jars_are_explained_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rule: if the jars cannot be downloaded, the error explains how to use an existing broker."""

    def refuse() -> str:
        raise BrokerUnavailable("org.apache.kafka:kafka_2.13:4.1.1 cannot be fetched from Maven Central (no network)")

    monkeypatch.setattr("streams.devbroker.embedded_broker.class_path", refuse)
    result = CliRunner().invoke(broker_command, ["--data-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert "set CHURN_KAFKA_BOOTSTRAP_SERVERS=host:port" in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_jar_with_a_wrong_checksum_is_not_run(tmp_path: Path) -> None:
    """Rule: nothing starts unless every jar has the checksum of the lock file."""
    jar = next(iter(kafka_jars.locked_jars()))
    forged = tmp_path / "forged.jar"
    forged.write_bytes(b"not Kafka")
    with pytest.raises(BrokerUnavailable, match="has the checksum"):
        kafka_jars._verify(jar, forged)
    assert not forged.exists()


def test_misconfigured_topics_are_reported_with_the_repair_command(new_run: object) -> None:
    """Rule: wrong partition counts, cleanup policies and limits are found before anything starts."""
    run: Run = new_run()  # type: ignore[operator]
    with pytest.raises(TopicMismatch, match="does not exist; create it with: churn-signals topics create"):
        asyncio.run(verify_topics(run.settings))
    assert len(asyncio.run(create_topics(run.settings))) == len(TOPICS)
    assert asyncio.run(create_topics(run.settings)) == []
    settings = vars(run.settings)
    swapped = Settings(**{**settings, "topic_scores": settings["topic_alerts"]})
    with pytest.raises(TopicMismatch, match=r"kafka-configs.sh .* --add-config cleanup.policy=compact"):
        asyncio.run(verify_topics(swapped))
    with pytest.raises(TopicMismatch, match=r"has 4 partitions and must have 1"):
        asyncio.run(verify_topics(Settings(**{**settings, "topic_labels": settings["topic_alerts"]})))
    with pytest.raises(TopicMismatch, match=r"--add-config max.message.bytes=1114124"):
        asyncio.run(verify_topics(Settings(**{**settings, "topic_dead_letters": settings["topic_alerts"]})))

"""A broker with SASL authentication over TLS and access control lists."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.topics import ALERTS, CHANGELOG, MODEL, name_of
from tests.crash.matrix.scene import Scene

ADMIN, ADMIN_PASSWORD = "admin", "admin-secret"
PROGRAM, PROGRAM_PASSWORD = "churn", "churn-secret"
_PRINCIPAL: Final = f"User:{PROGRAM}"
# Numeric values of Kafka's `AclOperation`, `ResourceType`, `PatternType` and `AclPermissionType`.
_ALL, _WRITE, _IDEMPOTENT_WRITE = 2, 4, 12
_TOPIC, _GROUP, _CLUSTER, _TRANSACTIONAL_ID = 2, 3, 4, 5
_LITERAL, _PREFIXED = 3, 4
_DENY, _ALLOW = 2, 3


def may_certify() -> bool:
    """Creating certificates requires openssl."""
    return shutil.which("openssl") is not None


def certificates(folder: Path) -> None:
    """Create a CA (`ca.pem`), a broker certificate signed by it (`broker.pem`, key first), and an unknown CA."""
    folder.mkdir(parents=True)

    def openssl(arguments: str) -> None:
        subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)

    new = "-newkey rsa:2048 -nodes -keyout"
    for name in ("ca", "unknown"):
        openssl(f"req -x509 -days 2 -subj /CN={name} {new} {name}.key -out {name}.pem")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl(f"req -subj /CN=127.0.0.1 {new} broker.key -out broker.csr")
    openssl("x509 -req -days 2 -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out broker.crt")
    (folder / "broker.pem").write_text((folder / "broker.key").read_text() + (folder / "broker.crt").read_text())


def secured_broker(folder: Path) -> EmbeddedBroker:
    """Create a broker with SASL over TLS for clients, ACLs, and one superuser."""
    certificates(folder / "certificates")
    login = (
        f'org.apache.kafka.common.security.plain.PlainLoginModule required username="{ADMIN}" '
        f'password="{ADMIN_PASSWORD}" user_{ADMIN}="{ADMIN_PASSWORD}" user_{PROGRAM}="{PROGRAM_PASSWORD}";'
    )
    return EmbeddedBroker(
        folder / "data",
        properties={
            "listener.security.protocol.map": "CLIENT:SASL_SSL,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.client.plain.sasl.jaas.config": login,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(folder / "certificates" / "broker.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(folder / "certificates" / "ca.pem"),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{ADMIN};User:ANONYMOUS",  # the controller listener has no authentication
            "log.retention.ms": "-1",
        },
    )


def settings_of(folder: Path) -> dict[str, object]:
    """Settings of the superuser, with which a run creates and reads topics."""
    return {
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_username": ADMIN,
        "kafka_sasl_password": ADMIN_PASSWORD,
        "kafka_ssl_cafile": str(folder / "certificates" / "ca.pem"),
    }


_OURS = {"CHURN_KAFKA_SASL_USERNAME": PROGRAM, "CHURN_KAFKA_SASL_PASSWORD": PROGRAM_PASSWORD}


async def rights_missing(scene: Scene) -> None:
    """Wrong password, unknown CA, and missing write permission at the start and later, for worker and trainer."""
    settings = scene.run.settings
    prefix, alerts, model = settings.kafka_group_id, name_of(ALERTS, settings), name_of(MODEL, settings)
    scene.common = dict(_OURS)
    admin = AIOKafkaAdminClient(**settings.connection())
    await admin.start()
    try:
        for kind in (_TOPIC, _GROUP, _TRANSACTIONAL_ID):
            await _grant(admin, kind, prefix, _PREFIXED, _ALL, _ALLOW)
        await _grant(admin, _CLUSTER, "kafka-cluster", _LITERAL, _IDEMPOTENT_WRITE, _ALLOW)
        # 1. Authentication fails
        for role, name in (("worker", "w0"), ("trainer", "t0")):
            wrong = {"CHURN_KAFKA_SASL_PASSWORD": "wrong"}
            await scene.refused(name, 1, "check .*user name or password", role=role, **wrong)
            unknown = {"CHURN_KAFKA_SSL_CAFILE": settings.kafka_ssl_cafile.replace("ca.pem", "unknown.pem")}
            await scene.refused(name, 1, "check .*the authority of its certificate", role=role, **unknown)
        # 2. Authenticated, but not authorized to write
        await _grant(admin, _TOPIC, name_of(CHANGELOG, settings), _LITERAL, _WRITE, _DENY)
        await scene.refused("w0", 2, "cannot write: TopicAuthorizationFailed")
        await _take_back(admin, name_of(CHANGELOG, settings))
        await scene.worker("w0")
        scene.feed.next_share()
        # 3. The permission is revoked during processing
        await scene.commit()
        await _grant(admin, _TOPIC, alerts, _LITERAL, _WRITE, _DENY)
        scene.harmed("no right to write alerts")
        await scene.ended("w0", 2, "cannot write: TopicAuthorizationFailed")
        await _take_back(admin, alerts)
        await scene.worker("w0")
        scene.feed.next_share()
        # 4. The trainer
        await _grant(admin, _TOPIC, model, _LITERAL, _WRITE, _DENY)
        await scene.refused("t0", 2, "cannot write: TopicAuthorizationFailed", role="trainer")
        await _take_back(admin, model)
        await scene.trainer("t0")
        scene.feed.next_share()
    finally:
        await admin.close()


async def _grant(admin: Any, kind: int, name: str, pattern: int, operation: int, permission: int) -> None:
    request = CreateAclsRequest(kind, name, pattern, _PRINCIPAL, "*", operation, permission)
    answer = (await admin._send_request(request)).to_object()
    assert not any(one["error_code"] for one in answer["creation_responses"]), answer


async def _take_back(admin: Any, topic: str) -> None:
    request = DeleteAclsRequest(_TOPIC, topic, _LITERAL, _PRINCIPAL, "*", _WRITE, _DENY)
    answer = (await admin._send_request(request)).to_object()
    assert not any(one["error_code"] for one in answer["filter_responses"]), answer

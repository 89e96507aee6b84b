"""Delete a topic and create it again, as another program does."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.settings import Settings
from tests.waiting import until


async def recreate(settings: Settings, name: str, partitions: int) -> None:
    """Return when the new topic is created; it has another id."""
    admin = AIOKafkaAdminClient(**settings.connection())
    await admin.start()
    try:
        await admin.delete_topics([name])

        async def created() -> bool:
            response = await admin.create_topics([NewTopic(name, partitions, 1)])
            return bool(response.topic_errors[0][1] == 0)

        await until("a new topic", created)
    finally:
        await admin.close()

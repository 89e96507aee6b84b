"""Every error that this program raises on purpose, as one tree: when you see it, and its exit code.

ChurnSignalsError
├── ConfigurationError      at startup: a setting, a topic or a file is wrong; nothing was started       (exit code 2)
│   ├── SettingsError       at startup: a CHURN_ variable is unknown, or its value is not allowed
│   ├── TopicMismatch       at startup: a topic is missing or differs from its declaration
│   └── FormatMismatch      on takeover: the changelog was written in the format of another release
├── BrokerUnreachable       at startup: no broker responded, or none accepts our credentials             (exit code 1)
├── InputLost               on takeover or fetch: the next records to apply were deleted                 (exit code 1)
│   └── InputReplaced       on takeover or later: the topic was deleted and created again                (exit code 1)
├── RecordDamaged           on takeover or during a batch: a changelog record cannot be used             (exit code 1)
├── SnapshotRefused         when a model is read: a snapshot cannot be used; its reader skips it
├── DeferredOutputsLost     during a batch: the process that encodes outputs failed; the worker encodes them itself
├── GroupAlive              on `churn-signals reset`: the group still has members (`streams.admin.reset`)
├── StoreInUse, StoreDamaged, StoreFull   on takeover or write: another process has locked the local store, its
│                           files are damaged, or its disk is full (`streams.engine.store`)
├── StopRequested           on SIGTERM while a process starts: a clean end                               (exit code 0)
├── StopCutShort            on SIGTERM: something did not end in time (`streams.runtime.process_end`)    (exit code 75)
└── OwnershipLost           during a batch: the outcome of a transaction is unknown; restart the worker  (exit code 75)
    └── Fenced              during a batch: another owner took over, or the transaction timed out
"""

from __future__ import annotations

from typing import ClassVar


class ChurnSignalsError(Exception):
    """Root of the tree. The message says what happened, where, and what to do next.

    Args:
        message: for people.
        location: topic, partition and offset, where they are known. They become fields of the log line.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", **location: str | int) -> None:
        super().__init__(message)
        self.location = location


class ConfigurationError(ChurnSignalsError):
    """You see this before anything is started. The message names what to change."""

    exit_code = 2


class SettingsError(ConfigurationError):
    """You see this if a `CHURN_` variable is unknown or its value is not allowed. The message says what is allowed."""


class TopicMismatch(ConfigurationError):
    """You see this if a topic is missing or differs from its declaration. The message contains the repair command."""


class FormatMismatch(ConfigurationError):
    """You see this if another release wrote the changelog, or if it cannot be decoded. The changelog is not changed."""

    def __init__(self, what: str, written: object, supported: int) -> None:
        if isinstance(written, int) and written > supported:
            repair = "run the release that wrote it, or a later one"
        else:
            repair = (
                "run the release that wrote it, or start a new group from the beginning of the log:"
                " CHURN_KAFKA_GROUP_ID=NAME"
            )
        super().__init__(
            f"{what} was written in format {written}, this program reads {supported}; nothing was changed: {repair}"
        )


class BrokerUnreachable(ChurnSignalsError):
    """You see this at startup if no broker responds or accepts our credentials. The message lists what to check."""


class InputLost(ChurnSignalsError):
    """You see this if a topic no longer contains the next offset to apply.

    Retention deleted records before they were applied, or the topic was deleted and created again.
    """


class InputReplaced(InputLost):
    """You see this if the input topic was deleted and created again. The message says how to continue."""


class RecordDamaged(ChurnSignalsError):
    """You see this if a record of the changelog cannot be used. No event was given up; the message names the command.

    Another program wrote to the changelog, or a record was damaged.

    Attributes:
        record: topic, partition and key of the record, and what is wrong with it.
    """

    record: tuple[str, int, bytes, str] | None = None


class SnapshotRefused(ChurnSignalsError):
    """You see this in the log if a model snapshot cannot be used: the reader keeps the last one that it could use."""


class DeferredOutputsLost(ChurnSignalsError):
    """The process that was to encode outputs exited, did not reply or could not encode them: encode them here."""


class OwnershipLost(ChurnSignalsError):
    """You see this if the outcome of a transaction is unknown or another process owns the partition.

    Restart the worker: it resumes from the last committed transaction, and no event is lost or applied twice.
    """

    exit_code = 75


class Fenced(OwnershipLost):
    """You see this if another owner took over the partition, or if a transaction exceeded its timeout.

    Kafka reports both in the same way.
    """

"""Every error this program raises on purpose, as one tree.

ChurnSignalsError
├── ConfigurationError      a setting, a topic or a file is wrong; nothing was started        (exit code 2)
│   ├── SettingsError       a CHURN_ variable is unknown or holds a value that is not allowed
│   ├── TopicMismatch       a topic is missing or differs from its declaration; names the repair
│   └── FormatMismatch      state of another release's format; nothing is overwritten, names both ways out
├── BrokerUnreachable       no broker answered, or none accepted who we are                    (exit code 1)
├── InputLost               the input no longer holds the position that the state stands for  (exit code 1)
├── DeferredOutputsLost     another process was to encode outputs and did not; the worker encodes them itself
├── GroupAlive              a group that is to start afresh has members (`streams.admin.reset`)
├── StoreInUse, StoreDamaged, StoreFull   a local store that another process holds, that the disk has changed,
│                           or that it has no room for (`streams.engine.store`)
└── OwnershipLost           a transaction of unknown outcome; start again                     (exit code 75)
    └── Fenced              another owner has taken it, or the transaction was too slow
"""

from __future__ import annotations

from typing import ClassVar


class ChurnSignalsError(Exception):
    """The root: the message says what happened, where, and what to do next."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", **place: str | int) -> None:
        super().__init__(message)
        self.place = place  # topic, partition, offset: fields of the log's line, where they are known


class ConfigurationError(ChurnSignalsError):
    """You see this before anything is started: the message names what to change."""

    exit_code = 2


class SettingsError(ConfigurationError):
    """A variable of the environment is unknown, or its value is not allowed."""


class TopicMismatch(ConfigurationError):
    """A topic is missing or is not as declared; the message carries the command that repairs it."""


class FormatMismatch(ConfigurationError):
    """The changelog was written by an older or a newer release; it stays as it is."""

    def __init__(self, what: str, written: object, read: int) -> None:
        if isinstance(written, int) and written > read:
            repair = "run the release that wrote it, or a later one"
        else:
            repair = (
                "run the release that wrote it, or start a new group from the log's beginning:"
                " CHURN_KAFKA_GROUP_ID=NAME"
            )
        super().__init__(
            f"{what} was written in format {written}, this program reads {read}; nothing was changed: {repair}"
        )


class BrokerUnreachable(ChurnSignalsError):
    """At the start no broker answered, or none accepted who we are; the message lists what to check."""


class InputLost(ChurnSignalsError):
    """The broker deleted events that were never applied: retention was shorter than the time nobody was reading."""


class DeferredOutputsLost(ChurnSignalsError):
    """The process that was to encode outputs exited, did not reply or could not encode them: encode them here."""


class OwnershipLost(ChurnSignalsError):
    """Another process owns the partition, or a transaction ended without an answer: a restart goes on exactly."""

    exit_code = 75


class Fenced(OwnershipLost):
    """Another owner has locked this one out; Kafka says the same of a transaction that took longer than its timeout."""

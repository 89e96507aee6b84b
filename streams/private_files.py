"""Files for this user only: stores, databases, logs and locks hold events and figures of customers.

Tested by tests/security/test_private_files.py.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from streams.errors import ConfigurationError

PRIVATE_DIRECTORY: Final = 0o700
PRIVATE_FILE: Final = 0o600
# Files that a monitoring system of another user finds and reads: addresses, no data.
SHARED_DIRECTORY: Final = 0o755
SHARED_FILE: Final = 0o644
# Of a directory that is created on the way to a shared one: others may pass through it, and not list it.
PASSAGE: Final = 0o711


def create_private_files() -> None:
    """Create every file of this process for this user only, whatever the umask of the shell is.

    RocksDB, SQLite and Kafka create their files themselves, so the process's own umask must be set.
    """
    os.umask(0o077)


def private_directory(path: Path) -> None:
    """Create a directory for this user only, and close one that is open to others.

    Raises:
        ConfigurationError: it belongs to another user, who could replace what is in it.
        OSError: it cannot be created.
    """
    path.mkdir(PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    found = path.stat()
    if found.st_uid != os.getuid():
        raise ConfigurationError(f"{path} belongs to another user (id {found.st_uid}): use a directory of your own")
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(PRIVATE_DIRECTORY)


def shared_directory(path: Path) -> None:
    """Create a directory that others may list, and a way to it. An existing one stays as it is.

    Raises:
        OSError: it cannot be created.
    """
    for folder, mode in ((path.parent, PASSAGE), (path, SHARED_DIRECTORY)):
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)


def open_lock(path: Path) -> int:
    """Open or create a lock file and return its descriptor. A link is never followed.

    Raises:
        OSError: it cannot be opened, or is a link (ELOOP).
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)

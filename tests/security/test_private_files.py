"""Claim 12: stores, databases, logs and locks are readable by their user only."""

from __future__ import annotations

import errno
import importlib
import inspect
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.console.database import ConsoleDatabase
from streams.demo.workspace import Workspace
from streams.devbroker import kafka_jars
from streams.engine.store import PartitionStore
from streams.errors import ConfigurationError
from streams.monitoring.http_server import _address_file
from streams.private_files import create_private_files, open_lock, private_directory
from streams.settings import Settings
from tests.security.sources import ROOT, trees


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """The umask of a careless shell."""
    former = os.umask(0)
    yield
    os.umask(former)


def test_every_file_of_a_process_is_private(tmp_path: Path) -> None:
    """Setup: a process without a umask writes a store, the console's database, a log and its address.

    Rule: others read only the address, which Prometheus needs.
    """
    create_private_files()
    settings = Settings(data_dir=str(tmp_path / "data"))
    with _address_file(settings, "worker", "127.0.0.1:1"):
        store = PartitionStore(settings.store_dir / "customer-events-0")
        store.write({b"x": b"value"}, 1)
        ConsoleDatabase(tmp_path).close()
        (tmp_path / "a.log").touch()
        modes = {str(path.relative_to(tmp_path)): mode(path) for path in tmp_path.rglob("*")}
        store.close()
    [address] = [name for name in modes if name.startswith("data/http/")]
    assert modes.pop(address) == 0o644
    assert (modes.pop("data"), modes.pop("data/http")) == (0o711, 0o755)
    assert modes["data/store/churn-signals/customer-events-0"] == 0o700
    assert len(modes) > 8
    assert {name: oct(found) for name, found in modes.items() if found not in (0o600, 0o700)} == {}


@pytest.mark.parametrize("command", ["worker", "trainer", "notify", "console", "broker", "demo"])
def test_every_long_lived_command_creates_private_files(command: str) -> None:
    """Rule: the umask is set before the command reads or writes anything."""
    module = importlib.import_module(f"streams.cli.{command}")
    assert module.create_private_files is create_private_files
    assert "\n    create_private_files()\n" in inspect.getsource(module)


def test_store_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    """Rule: an existing directory of an earlier release becomes private."""
    directory = tmp_path / "store"
    directory.mkdir(mode=0o755)
    PartitionStore(directory).close()
    assert mode(directory) == 0o700


def test_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: its owner could replace files in it. Setup: this process has another user id than the directory."""
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        private_directory(tmp_path)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        PartitionStore(tmp_path)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        Workspace(tmp_path).__enter__()


def test_lock_does_not_follow_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a link placed at the path of a lock is neither opened nor emptied."""
    target = tmp_path / "target"
    target.write_text("kept")
    (tmp_path / "lock").symlink_to(target)
    with pytest.raises(OSError, match=r".") as refused:
        open_lock(tmp_path / "lock")
    assert refused.value.errno == errno.ELOOP
    with pytest.raises(ConfigurationError, match="cannot write"):
        Workspace(tmp_path).__enter__()
    cache = tmp_path / "churn-signals"
    cache.mkdir()
    (cache / "jars.lock").symlink_to(target)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(kafka_jars.BrokerUnavailable, match="cannot be locked"), kafka_jars._download_lock():
        pass
    assert target.read_text() == "kept"


def test_locks_are_in_a_directory_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the lock of the downloads is in the user's cache, which is private."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with kafka_jars._download_lock():
        lock = tmp_path / "churn-signals" / "jars.lock"
        assert (mode(lock.parent), mode(lock)) == (0o700, 0o600)


def test_no_predictable_name_in_the_shared_temporary_directory() -> None:
    """Rule: temporary files are made by `tempfile`, with random names; nothing joins a name to the directory."""
    for path, _tree in trees("streams"):
        text = (ROOT / path).read_text(encoding="utf-8")
        assert "gettempdir" not in text, path
        assert '"/tmp' not in text, path


def test_umask_is_set_for_this_user_only() -> None:
    create_private_files()
    assert os.umask(0) == 0o077

"""A separate disk for the local stores that is small enough to fill."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

from tests.crash.matrix.scene import Scene

# Four stores with the history of a run need some 8 MB. RocksDB reserves more if it is available.
_SIZE = "24m"
_CHUNK = bytes(256 * 1024)


def may_mount() -> bool:
    """Mounting a disk requires root."""
    return os.geteuid() == 0


class SmallDisk:
    """A tmpfs mounted on a folder until `close`. `fill` acts as another program that uses all free space."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder)], check=True)
        self._folder, self._filler = folder, folder / "filler"

    def fill(self) -> None:
        """Use all free space."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (len(_CHUNK), 4096, 1):
                try:
                    while True:
                        file.write(_CHUNK[:size])
                except OSError as full:
                    if full.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """Free the space again."""
        self._filler.unlink()

    def close(self) -> None:
        """Unmount the disk after its users have exited."""
        subprocess.run(["umount", str(self._folder)], check=True)


async def disk_full(scene: Scene) -> None:
    """The disk fills up during processing, and while a worker rebuilds its stores. The worker exits with one line, also
    at each restart, and continues once there is free space."""
    folder = scene.run.settings.store_dir.parent
    disk = SmallDisk(folder)
    scene.cleanups.append(disk.close)
    await scene.worker("w0")
    for again in ("at work", "at the start"):
        await scene.commit()
        await scene.a_while()
        if again == "at the start":
            scene.kill("w0")
            shutil.rmtree(scene.run.settings.store_dir)
            disk.fill()
        else:
            disk.fill()
            await scene.ended("w0", 1, "the disk of the store .* is full: make room and start again")
        await scene.refused("w0", 1, "the disk of the store .* is full: make room and start again")
        disk.free()
        await scene.worker("w0")
        scene.feed.next_share()

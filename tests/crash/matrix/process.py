"""The product's worker or trainer as a program that a scene can start and kill, with a fault built in if asked for."""

from __future__ import annotations

import os
from typing import Any

import models.partition
from streams.cli.main import main


def poison() -> None:
    """Let the application of an event raise, as a fault of ours would, wherever `properties.poison` is set."""
    apply = models.partition.apply

    def raising(profile: Any, event: Any, *rest: Any) -> bool:
        if "poison" in event.properties:
            raise ZeroDivisionError("poisoned")
        return apply(profile, event, *rest)

    models.partition.apply = raising


if __name__ == "__main__":
    if os.environ.get("MATRIX_POISON"):
        poison()
    main([os.environ["MATRIX_ROLE"]])

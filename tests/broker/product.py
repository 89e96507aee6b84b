"""The product's worker as a program that the harness can start and kill."""

from __future__ import annotations

from streams.cli.main import main

if __name__ == "__main__":
    main(["worker"])

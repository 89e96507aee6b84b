"""A program with the product's worker (or PRODUCT_ROLE and its options) that the harness can start and kill."""

from __future__ import annotations

import os

from streams.cli.main import main

if __name__ == "__main__":
    main(os.environ.get("PRODUCT_ROLE", "worker").split())

"""Run one command as a child process that ends when its parent ends, even if the parent is killed.

`python -P -m streams.demo.child worker --config churn.toml`
"""

from __future__ import annotations

import os
import sys
import threading


def main() -> None:
    """Run the command in the arguments. Standard input is a pipe whose other end only the parent holds."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    from streams.cli.main import main as run

    run(sys.argv[1:])


def _end_with_parent() -> None:
    """Exit at the end of the pipe. The broker ended with the parent, so there is nothing to close cleanly."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()

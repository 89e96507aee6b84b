"""One command as a child process that ends when its parent does, however that ended.

`python -m streams.demo.child worker --config churn.toml`
"""

from __future__ import annotations

import os
import sys
import threading


def main() -> None:
    """Run the command of the arguments; standard input is a pipe whose other end the parent alone holds."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    from streams.cli.main import main as run

    run(sys.argv[1:])


def _end_with_parent() -> None:
    """The pipe ends with the parent, also by kill -9. There is no broker any more to say goodbye to."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()

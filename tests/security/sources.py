"""The program's own sources as syntax trees, and what in them would run somebody else's bytes or open a port."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.paths import ROOT

# Whatever reads these runs what it reads.
UNSAFE_MODULES = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"}
UNSAFE_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load",
    "yaml.full_load", "numpy.load", "np.load", "pandas.read_pickle", "pd.read_pickle", "torch.load",
}  # fmt: skip
# Whatever calls these listens.
LISTENING = {
    "create_server", "start_server", "create_unix_server", "start_unix_server", "bind", "TCPSite", "SockSite",
    "run_app", "HTTPServer", "ThreadingHTTPServer", "make_server", "start_http_server", "TCPServer",
}  # fmt: skip


def trees(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """(path, tree) of every module below these folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def unsafe(tree: ast.Module) -> list[str]:
    """What in a module would run what it reads, with its line."""
    found = []
    for node in ast.walk(tree):
        words = []
        if isinstance(node, ast.Import):
            words = [alias.name for alias in node.names if alias.name.partition(".")[0] in UNSAFE_MODULES]
        elif isinstance(node, ast.ImportFrom):
            words = [str(node.module)] if str(node.module).partition(".")[0] in UNSAFE_MODULES else []
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            shell = [k for k in node.keywords if k.arg in ("shell", "allow_pickle") and ast.unparse(k.value) != "False"]
            if name in UNSAFE_CALLS or shell:
                words = [name]
        found += [f"{word}:{node.lineno}" for word in words]
    return found


def listening(tree: ast.Module) -> list[str]:
    """The calls of a module that open a port."""
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in LISTENING
    ]

"""The program's sources as syntax trees, and a search for code that executes data or opens a port."""

from __future__ import annotations

import ast

from tests.paths import ROOT
from tests.syntax_trees import syntax_tree

# Deserialisers and calls that can execute their input.
UNSAFE_MODULES = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"}
UNSAFE_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load",
    "yaml.full_load", "numpy.load", "np.load", "pandas.read_pickle", "pd.read_pickle", "torch.load",
}  # fmt: skip
# Calls that open a listening socket.
LISTENING = {
    "create_server", "start_server", "create_unix_server", "start_unix_server", "bind", "TCPSite", "SockSite",
    "run_app", "HTTPServer", "ThreadingHTTPServer", "make_server", "start_http_server", "TCPServer",
}  # fmt: skip


def trees(*folders: str) -> list[tuple[str, ast.Module]]:
    """Return (path, tree) of every module in these folders."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [(str(path.relative_to(ROOT)), syntax_tree(path)) for path in paths]


def called(call: ast.Call) -> str:
    """Return the dotted name of the function, or its source text; unparsing every call takes a second."""
    names, node = [], call.func
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        return ".".join([node.id, *reversed(names)])
    return ast.unparse(call.func)


def unsafe(tree: ast.Module) -> list[str]:
    """Return the imports and calls of a module that can execute data, with their lines."""
    findings = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.partition(".")[0] in UNSAFE_MODULES]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module)] if str(node.module).partition(".")[0] in UNSAFE_MODULES else []
        elif isinstance(node, ast.Call):
            name = called(node)
            shell = [k for k in node.keywords if k.arg in ("shell", "allow_pickle") and ast.unparse(k.value) != "False"]
            names = [name] if name in UNSAFE_CALLS or shell else []
        else:
            continue
        findings += [f"{name}:{node.lineno}" for name in names]
    return findings


def listening(tree: ast.Module) -> list[str]:
    """Return the calls of a module that open a listening socket."""
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called(node).rpartition(".")[2] in LISTENING
    ]

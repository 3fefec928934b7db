"""Private parts of other packages are checked before they are used."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
from psycopg.pq import PGconn

from lockstream.compatibility import UnsupportedPackage, require_parts
from lockstream.infrastructure.postgres import pipeline
from lockstream.presentation.server import protocol
from lockstream.tests.support.processes import Server

_UVICORN = "uvicorn.protocols.http.httptools_impl"

MISSING_PARTS = [
    ("uvicorn", "uvicorn.protocols.http.flow_control.FlowControl", "uvicorn.protocols.http.flow_control.FlowControl"),
    ("uvicorn", f"{_UVICORN}.HttpToolsProtocol.on_response_complete", "HttpToolsProtocol.on_response_complete"),
    ("psycopg", "psycopg.errors._WaitTimeout", "psycopg.errors._WaitTimeout"),
]
"""Package, the part that a process deletes, and its name in the error: of both modules, and of a module and a class."""


def message(package: str, part: str) -> str:
    return (
        f"{package} {version(package)} lacks {part}, which Lockstream depends on. Install the version that "
        "requirements.txt names."
    )


def test_a_missing_part_is_named_with_package_and_version() -> None:
    with pytest.raises(UnsupportedPackage) as raised:
        require_parts("psycopg", psycopg.Pipeline, "_exit_gen", "_renamed")
    assert str(raised.value) == message("psycopg", "Pipeline._renamed")
    with pytest.raises(UnsupportedPackage) as raised:
        require_parts("psycopg", psycopg.errors, "_Renamed")
    assert str(raised.value) == message("psycopg", "psycopg.errors._Renamed")


def test_parts_that_exist_pass() -> None:
    require_parts("psycopg", psycopg.Pipeline, "_exit_gen")


def test_a_connection_without_the_attribute_of_its_pipeline_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_pipeline(connection: psycopg.Connection, *_: object) -> None:
        connection.pgconn = PGconn()

    monkeypatch.setattr(psycopg.Connection, "__init__", without_pipeline)
    with pytest.raises(UnsupportedPackage) as raised:
        pipeline.Connection(PGconn())
    assert str(raised.value) == message("psycopg", "Connection._pipeline")


@pytest.mark.parametrize(("module", "package"), [(protocol, "uvicorn"), (pipeline, "psycopg")])
def test_each_private_part_that_a_module_uses_is_checked(module: ModuleType, package: str) -> None:
    tree = ast.parse(inspect.getsource(module))
    used = private_parts(tree, sources_of_bases(module, package))
    assert used
    assert used - checked_parts(tree) == set()


@pytest.mark.parametrize(("package", "deleted", "part"), MISSING_PARTS)
def test_a_server_without_a_private_part_exits_with_a_sentence(
    log_path: Path, package: str, deleted: str, part: str
) -> None:
    # given a process in which the part is missing before Lockstream is imported
    delete = f"import {_UVICORN}, psycopg; del {deleted}"
    program = "-c", f"{delete}; from lockstream.presentation.cli.main import main; main(['serve'])"
    settings = {"DATABASE_URL": "postgresql://127.0.0.1:1/nowhere"} if package == "psycopg" else {}
    # when it starts the server
    with Server(log_path, program=program, **settings) as server:
        server.launch()
        # then it exits with one sentence
        assert server.wait() == 1
        assert server.stderr == f"lockstream: {message(package, part)}\n"


def checked_parts(tree: ast.Module) -> set[str]:
    """Return the names that a module gives to `require_parts`."""
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "require_parts"
    ]
    return {str(name.value) for call in calls for name in call.args[2:] if isinstance(name, ast.Constant)}


def private_parts(tree: ast.Module, sources: str) -> set[str]:
    """Return the private parts of a package that a module uses: names from private modules, and private attributes.

    A private attribute belongs to the package if the module does not define it, or if `sources`, of the classes from
    which the module's own are derived, contain it as well.
    """
    nodes = list(ast.walk(tree))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    methods = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    assigned = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    private = {name for name in attributes | methods if re.match("_(?!_)", name)}
    inherited = {name for name in private if re.search(rf"\b{name}\b", sources)}
    return inherited | (private - methods - assigned) | set(_names_from_private_modules(nodes))


def sources_of_bases(module: ModuleType, package: str) -> str:
    """Return the source of the modules of `package` from whose classes those of `module` are derived."""
    classes = [value for value in vars(module).values() if inspect.isclass(value)]
    own = [value for value in classes if value.__module__ == module.__name__]
    modules = {base.__module__ for value in own for base in value.__mro__}
    return "\n".join(inspect.getsource(sys.modules[name]) for name in modules if name.partition(".")[0] == package)


def _names_from_private_modules(nodes: list[ast.AST]) -> Iterator[str]:
    aliases = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and _is_private(node.module or ""):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.Import):
            aliases |= {name.asname or name.name for name in node.names if _is_private(name.name)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in aliases:
            yield node.attr


def _is_private(module: str) -> bool:
    return module.startswith("uvicorn.protocols") or "._" in module

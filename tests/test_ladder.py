"""Imports inside corolib point down: a module may import only what stands before it in this list."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import ROOT

PACKAGE = ROOT / "corolib"

# The comments name stretches of it, as docs/pictures/ladder.py draws them. A name stands for the module, or
# for a whole package whose members may import each other; a trailing "." for that package and all modules
# below it.
LADDER = [
    # bedrock: what an import of what is not built says
    "_unbuilt",
    # ground: none of these imports another
    *("_switch", "_ev", "_native", "_adopt", "_config"),
    # errors: one of them is a GreenletExit
    "errors",
    # the one wait: where the engine and the loop meet
    "_hub",
    # who waits for whom
    "_waitgraph",
    # who spawned whom
    "_spawntree",
    # hub
    *("local", "_reports", "_loop", "_services", "hub"),
    # waiting
    *("timeout", "_waiting"),
    # primitives
    *("event", "lock", "queue", "greenlet"),
    # crowds
    *("pool", "threadpool"),
    # names
    *(
        "resolver.numeric",
        "resolver.rows",
        "resolver.order",
        "resolver.hosts",
        "resolver.base",
        "resolver.blocking",
        "resolver.shared",
        "resolver.thread",
        "resolver.conf",
        "resolver.exchange",
        "resolver.dns",
        "resolver",
    ),
    # standard library
    *(
        "_eyeballs",
        "time",
        "os",
        "_descriptors",
        "_buffers",
        "_pipes",
        "signal",
        "select",
        "selectors",
        "socket",
        "ssl",
        "fileobject",
        "subprocess",
        "thread",
        "threading",
    ),
    # servers
    *(
        "server.listeners",
        "server.peers",
        "server.base",
        "server.stream",
        "server.datagram",
        "server._http",
        "server.http1",
        *("server.input", "server.environ", "server.accesslog", "server.counters"),
        *("server.filewrapper", "server.connection", "server.handler"),
        "server.wsgi",
        "server.prefork",
        "server",
    ),
    "websocket",
    # around
    *(
        "_run",
        "_event_shapes",
        "events",
        "_patch_threading",
        "_patch_sockets",
        "_imports",
        "_patch_asyncio",
        "_patch_http",
        "_patch_interpreters",
        "_patch_sqlite3",
        "_patch_multiprocessing",
        "_libraries",
        "_audit",
        "_command_line",
        "monkey",
        *("_serve", "pywsgi"),
        "testing",
        "tools",
        "util",
        "_pytest_plugin",
        "compat.",
    ),
    # roof
    "",
    # program: it says which corolib it is
    "__main__",
    # adapters: to libraries of others; they use it as those would
    *("ext", "ext."),
]
# What an error carries is made above it: imported `if TYPE_CHECKING`, so that nothing runs it.
FOR_TYPES = {("errors", "_waitgraph")}
GROUND = LADDER[LADDER.index("_switch") : LADDER.index("errors")]
FILES = sorted(path for kind in ("*.py", "*.pyi") for path in PACKAGE.rglob(kind))


def module_of(path: Path) -> str:
    """The name below corolib: "resolver.dns"; of a package's face: "resolver"; of the roof: ""."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def rung_of(module: str) -> str | None:
    """The entry of the list that a module belongs to."""
    if module in LADDER:
        return module
    for entry in LADDER:
        if entry and f"{module}.".startswith(entry if entry.endswith(".") else entry + "."):
            return entry
    return None


def imported(path: Path, folder: Path) -> Iterator[tuple[int, str]]:
    """Line and module (the name below corolib) of each import of corolib in a file, at whatever depth."""
    package = ["corolib", *folder.relative_to(PACKAGE).parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # What is imported may be a module itself: `from . import _native`.
            names = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("corolib.") in MODULES else base for name in names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "corolib":
                yield node.lineno, name.removeprefix("corolib").removeprefix(".")


def lines_for_types(path: Path) -> set[int]:
    """Those of a file that stand under `if TYPE_CHECKING`."""
    return {
        line
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for each in node.body
        for line in range(each.lineno, (each.end_lineno or each.lineno) + 1)
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    module = module_of(path)
    rung = rung_of(module)
    assert rung is not None, f"{module} has no place in the ladder (tests/test_ladder.py)"
    for line, target in imported(path, path.parent):
        below = rung_of(target)
        where = f"{path.relative_to(ROOT)}:{line} imports {target or 'the roof'}"
        assert below is not None, f"{where}, which has no place in the ladder"
        if (module, target) in FOR_TYPES and line in lines_for_types(path):
            continue
        if below == rung and rung:
            continue  # members of one package
        assert LADDER.index(below) < LADDER.index(rung), f"{where}, which does not stand below it"
        assert not (below in GROUND and rung in GROUND), f"{where}: ground modules do not know each other"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_package_names_its_modules_relatively(path: Path) -> None:
    if path.suffix == ".pyi":
        return  # a stub says where a name of the built module comes from, as a user would
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            assert name.split(".")[0] != "corolib", f"{path.name}:{node.lineno}: write `from .x import y`"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_the_hub_serves_from_above_is_for_users_only(path: Path) -> None:
    """`corolib.hub.Waiter` and the like: within the package that would be an import up the ladder."""
    from corolib.hub import _above

    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module in ("hub", "corolib.hub"):
            taken = {alias.name for alias in node.names} & set(_above)
            assert not taken, f"{path.name}:{node.lineno}: take {taken} from where it is"


def test_the_list_has_no_name_twice() -> None:
    assert len(set(LADDER)) == len(LADDER)


def test_the_walk_sees_every_way_to_import(tmp_path: Path) -> None:
    """The test above is only as good as this."""
    probe = tmp_path / "probe.py"
    probe.write_text(
        "from ..hub import a\n"
        "def f():\n"
        "    from .. import _native, errors\n"
        "    import corolib._ev.loop\n"
        "    from . import base\n"
    )
    found = [name for _, name in imported(probe, PACKAGE / "resolver")]
    assert found == ["hub", "_native", "errors", "_ev.loop", "resolver.base"]


def test_lines_for_types_are_told_from_others(tmp_path: Path) -> None:
    probe = tmp_path / "probe.py"
    probe.write_text(
        "if TYPE_CHECKING:\n    import a\n    import b\nelse:\n    import c\nif d:\n    import e\n"
    )
    assert lines_for_types(probe) == {2, 3}

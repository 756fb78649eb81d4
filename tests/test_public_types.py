"""The types that users' checkers see, and what is generic at run time."""

import re
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from helpers import ROOT

import corolib.socket
from corolib.event import AsyncResult
from corolib.greenlet import Greenlet
from corolib.pool import IMap, IMapUnordered
from corolib.queue import Channel, JoinableQueue, LifoQueue, PriorityQueue, Queue, SimpleQueue
from corolib.threadpool import ThreadResult

GENERIC = [
    *(AsyncResult, Greenlet, IMap, IMapUnordered, ThreadResult),
    *(Channel, JoinableQueue, LifoQueue, PriorityQueue, Queue, SimpleQueue),
]


def mypy(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """As a user runs it."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "--strict"),
            *map(str, arguments),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.mark.hang_after(300)
def test_a_type_checker_sees_the_public_types() -> None:
    done = mypy(ROOT / "tests" / "typing" / "public.py")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.hang_after(300)
def test_names_of_socket_have_the_types_that_they_have_in_the_standard_library(tmp_path: Path) -> None:
    names = sorted(corolib.socket.__all__)
    ours = {name for name in names if getattr(corolib.socket, name) is not getattr(socket, name, None)}
    assert {"socket", "create_connection", "wait_read"} <= ours
    source = ["import socket as theirs", "import corolib.socket as ours"]
    for name in names:
        source += [f"from corolib.socket import {name}", f"reveal_type(ours.{name})"]
        source += [] if name in ours else [f"reveal_type(theirs.{name})"]
    path = tmp_path / "names.py"
    path.write_text("\n".join(source))
    written = mypy(path).stdout
    types: dict[str, dict[str, str]] = {"ours": {}, "theirs": {}}
    for line, type_ in re.findall(r":(\d+): note: Revealed type is \"(.*)\"", written):
        whose, name = source[int(line) - 1].removeprefix("reveal_type(").rstrip(")").split(".")
        types[whose][name] = type_
    # What mypy does not know there, this Python being newer, is Any in both.
    refused = [row for row in written.splitlines() if ": error: " in row and "has no attribute" not in row]
    assert refused == []
    assert types["ours"].keys() == set(names)
    assert {name: types["ours"][name] for name in types["theirs"]} == types["theirs"]
    assert types["ours"]["SHUT_WR"] == "int"
    assert [name for name in ours if types["ours"][name] == "Any"] == []


@pytest.mark.hang_after(300)
def test_every_name_of_what_stands_in_for_the_standard_library_can_be_imported(tmp_path: Path) -> None:
    modules = ["os", "queue", "select", "selectors", "signal", "socket", "ssl", "subprocess", "thread"]
    names = [
        f"from corolib.{module} import {name}\n"
        for module in [*modules, "threading", "time"]
        for name in import_module(f"corolib.{module}").__all__
    ]
    path = tmp_path / "names.py"
    path.write_text("".join(names))
    written = mypy(path).stdout
    assert [row for row in written.splitlines() if "does not explicitly export" in row] == []
    assert len(names) > 500


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "corolib" / "py.typed").exists()


@pytest.mark.parametrize("kind", GENERIC)
def test_generic_at_run_time(kind: type) -> None:
    alias = kind[int]  # type: ignore[index]
    assert alias.__origin__ is kind and alias.__args__ == (int,)


@pytest.mark.parametrize("kind", [AsyncResult, *GENERIC[5:]])
def test_an_alias_makes_what_it_stands_for(kind: type) -> None:
    assert type(kind[int]()) is kind  # type: ignore[index]


def test_an_alias_of_greenlet_spawns_and_can_be_derived_from() -> None:
    assert Greenlet[int].spawn(int, "5").get() == 5

    class Worker(Greenlet[str]):
        def __init__(self, count: int) -> None:
            super().__init__()
            self.count = count

        def _run(self) -> str:
            return "x" * self.count

    assert Worker.spawn(3).get() == "xxx"

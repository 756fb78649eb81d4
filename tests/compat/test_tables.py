"""The tables: what they name is there, and is the very object that corolib has."""

import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from corolib import compat
from corolib.compat._alias import Alias, Library, find
from corolib.compat.eventlet import EVENTLET
from corolib.compat.gevent import GEVENT
from corolib.compat.greenlet import GREENLET

TABLES = [GEVENT, GREENLET, EVENTLET]
ROWS = [(library, name) for library in TABLES for name in library.rows if not name.endswith("__main__")]


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    compat.install(compat.LIBRARIES)
    yield
    compat.uninstall()


def test_nothing_is_left_behind_between_tests() -> None:
    import gevent

    assert isinstance(gevent, Alias)
    compat.uninstall()
    assert "gevent" not in sys.modules
    assert compat.installed() == ()
    compat.uninstall()


@pytest.mark.parametrize(("library", "name"), ROWS, ids=[name for _, name in ROWS])
def test_every_name_is_the_object_that_the_table_says(library: Library, name: str) -> None:
    row = library.rows[name]
    module = importlib.import_module(name)
    assert isinstance(module, Alias)
    listed = row.known()
    assert listed | set(row.absent), f"{name} is a row about nothing"
    for attribute in listed - set(row.values):
        here = find(row.path(attribute))
        assert getattr(module, attribute) is here or getattr(module, attribute) == here, attribute
        assert attribute in dir(module)


@pytest.mark.parametrize(("library", "name"), ROWS, ids=[name for _, name in ROWS])
def test_what_is_absent_says_why(library: Library, name: str) -> None:
    module = importlib.import_module(name)
    for attribute, why in library.rows[name].absent.items():
        with pytest.raises(AttributeError, match=attribute) as caught:
            getattr(module, attribute)
        assert why in str(caught.value)
        assert attribute not in dir(module)


def test_a_name_that_no_table_lists_says_where_the_table_is() -> None:
    import gevent

    where = GEVENT.table.replace("\\", "\\\\")
    with pytest.raises(AttributeError, match=f"gevent has no 'nonsense' here.*{where}"):
        gevent.nonsense
    with pytest.raises(ImportError, match=f"cannot import name 'nonsense' from 'gevent.hub'.*{where}"):
        exec("from gevent.hub import nonsense")
    with pytest.raises(ModuleNotFoundError, match=f"no gevent.nonsense.*{where}") as caught:
        exec("import gevent.nonsense")
    assert caught.value.name == "gevent.nonsense"
    assert not hasattr(gevent, "nonsense")


def test_the_classes_are_the_same_under_both_names() -> None:
    import gevent.event
    import gevent.pool
    import gevent.socket
    import greenlet

    import corolib.pool
    import corolib.socket
    from corolib._switch import greenlet as engine_s

    assert gevent.pool.Pool is corolib.pool.Pool
    assert gevent.socket.socket is corolib.socket.socket
    assert greenlet.greenlet is engine_s
    assert issubclass(gevent.Greenlet, greenlet.greenlet)
    assert gevent.GreenletExit is greenlet.GreenletExit is gevent.hub.GreenletExit
    assert gevent.Timeout is gevent.timeout.Timeout
    assert greenlet.greenlet.dead.__get__(greenlet.getcurrent()) is False


def test_the_root_has_its_modules_without_their_import() -> None:
    import gevent

    assert gevent.hub.Hub is importlib.import_module("corolib.hub").Hub
    assert gevent.signal is sys.modules["gevent.signal"]


def test_assigning_replaces_what_our_own_code_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    import gevent
    import gevent.pool

    import corolib
    import corolib.greenlet
    import corolib.pool

    class Traced(gevent.Greenlet):  # type: ignore[misc]
        pass

    before = corolib.pool.Greenlet
    with monkeypatch.context() as patch:
        patch.setattr(gevent.pool, "Greenlet", Traced)
        assert corolib.pool.Greenlet is Traced
        assert gevent.Greenlet is not Traced
        patch.setattr(gevent, "spawn", Traced.spawn)
        assert corolib.spawn == Traced.spawn
        # A name that stands for something called otherwise here: only the alias changes.
        patch.setattr(gevent.os, "fork_gevent", Traced)
        assert corolib.os.fork_unwatched is not Traced
    assert corolib.pool.Greenlet is before is gevent.pool.Greenlet
    assert corolib.spawn == corolib.greenlet.Greenlet.spawn


def test_deleting_a_name_takes_it_from_our_module(monkeypatch: pytest.MonkeyPatch) -> None:
    import gevent.util

    import corolib.util

    with monkeypatch.context() as patch:
        patch.delattr(gevent.util, "dump_stacks")
        assert not hasattr(corolib.util, "dump_stacks")
        assert not hasattr(gevent.util, "dump_stacks")
    assert corolib.util.dump_stacks is gevent.util.dump_stacks


def test_a_name_of_the_program_s_own_stays_in_the_alias() -> None:
    import gevent.hub

    import corolib.hub

    gevent.hub.mine = 1
    assert gevent.hub.mine == 1
    assert not hasattr(corolib.hub, "mine")
    del gevent.hub.mine
    assert not hasattr(gevent.hub, "mine")


def test_versions_are_ones_that_others_accept() -> None:
    import gevent
    import greenlet

    assert [int(part) for part in gevent.__version__.split(".")] >= [24, 10, 1]
    assert gevent.version_info[0] >= 1
    importlib.import_module("eventlet")
    for library in TABLES:
        assert importlib.metadata.version(library.name) == sys.modules[library.name].__version__
    assert greenlet.__version__ == GREENLET.version


def test_a_distribution_has_a_name_and_no_files() -> None:
    found = importlib.metadata.distribution("gevent")
    assert found.metadata["Name"] == "gevent"
    assert found.files is None
    assert found.read_text("entry_points.txt") is None
    assert "greenlet" in {each.metadata["Name"] for each in importlib.metadata.distributions()}
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution("gevent-that-nobody-made")


def test_modules_can_be_found_without_being_imported() -> None:
    spec = importlib.util.find_spec("gevent")
    assert spec is not None and spec.origin == GEVENT.table
    assert spec.submodule_search_locations == []
    assert importlib.util.find_spec("greenlet").submodule_search_locations == []
    spec = importlib.util.find_spec("gevent.event")
    assert spec is not None and spec.submodule_search_locations is None


def test_names_come_from_the_module_that_star_would_give() -> None:
    names: dict[str, Any] = {}
    exec("from gevent.event import *", names)
    assert {"Event", "AsyncResult"} <= set(names)


def test_everything_of_a_standard_module_is_there() -> None:
    import gevent.socket
    import gevent.subprocess
    import gevent.threading

    assert gevent.socket.AF_INET and gevent.socket.timeout is TimeoutError
    assert gevent.subprocess.PIPE == subprocess.PIPE
    assert gevent.threading.Thread is threading.Thread

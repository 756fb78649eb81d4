"""install(): opt-in, once, and never beside the real library."""

import ctypes
import sys
from pathlib import Path

import pytest
from helpers import run_isolated

from corolib import compat


def test_without_install_nothing_is_served() -> None:
    run_isolated(
        """
        import sys
        import corolib.compat, corolib.monkey
        assert "gevent" not in sys.modules
        assert all(type(finder).__name__ != "Finder" for finder in sys.meta_path)
        """
    )


def test_install_imports_next_to_nothing() -> None:
    run_isolated(
        """
        import sys
        from corolib import compat
        compat.install()
        too_early = {"socket", "ssl", "threading", "subprocess", "logging", "selectors", "corolib.hub"}
        assert not too_early & set(sys.modules), too_early & set(sys.modules)
        assert "gevent" not in sys.modules and "greenlet" not in sys.modules
        from gevent import monkey
        assert not too_early & set(sys.modules), too_early & set(sys.modules)
        monkey.patch_all()
        import gevent.socket, socket, threading
        assert socket.socket is gevent.socket.socket
        import gevent.local
        assert isinstance(threading.local(), gevent.local.local)
        assert monkey.is_module_patched("threading") and "threading" in monkey.saved
        """
    )


@pytest.mark.parametrize("name", ["gevent", "greenlet"])
def test_the_real_library_imported_before_is_one_clear_error(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text("")
    run_isolated(
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import {name}
        from corolib import compat
        before = list(sys.meta_path)
        try:
            compat.install()
        except RuntimeError as error:
            assert str(error).startswith("{name} has been imported already, from {tmp_path}"), error
        else:
            raise AssertionError("no error")
        assert sys.meta_path == before and compat.installed() == ()
        """
    )


def test_twice_is_once() -> None:
    before = list(sys.meta_path)
    try:
        compat.install(["greenlet"])
        compat.install("greenlet")
        assert len(sys.meta_path) == len(before) + 1
        assert compat.installed() == ("greenlet",)
        compat.install()
        assert set(compat.installed()) == {"greenlet", "gevent"}
        assert len(sys.meta_path) == len(before) + 1
    finally:
        compat.uninstall()
    assert sys.meta_path == before


def test_an_unknown_library_is_refused_with_the_ones_that_are_known() -> None:
    with pytest.raises(ValueError, match="gevent, greenlet, eventlet: found 'twisted'"):
        compat.install(["gevent", "twisted"])
    assert compat.installed() == ()


def test_the_capsule_is_found_as_extensions_look_for_it() -> None:
    compat.install()
    try:
        find = ctypes.pythonapi.PyCapsule_Import
        find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
        table = (ctypes.c_void_p * 12).from_address(find(b"greenlet._C_API", 0))
        from corolib._switch import GreenletExit, error, greenlet

        assert list(table[:3]) == [id(greenlet), id(error), id(GreenletExit)]
        assert all(table)
    finally:
        compat.uninstall()


def test_the_environment_variables_of_gevent_are_read_where_ours_are_not_set() -> None:
    environ = {
        "GEVENT_RESOLVER": "ares",
        "GEVENT_THREADPOOL": "gevent.threadpool.ThreadPool",
        "GEVENT_FILE": "thread",
        "GEVENT_BACKEND": "poll",
        "GEVENT_MONITOR_MEMORY_MAX": "100mb",
        "GEVENT_TRACK_GREENLET_TREE": "1",
        "COROLIB_TRACK_GREENLET_TREE": "0",
        "GEVENT_MAX_BLOCKING_TIME": "soon",
    }
    run_isolated(
        """
        from corolib import compat
        compat.install()
        import gevent, gevent.fileobject, gevent.threadpool
        from gevent import config
        hub = gevent.get_hub()
        assert type(hub.resolver).__name__ == "DnsResolver", hub.resolver
        assert type(hub.threadpool) is gevent.threadpool.ThreadPool
        assert gevent.fileobject.FileObject is gevent.fileobject.FileObjectThread
        assert hub.loop.backend == "poll", hub.loop.backend
        assert config.max_memory_usage == 100 << 20
        assert config.track_greenlet_tree is False
        try:
            config.max_blocking_time
        except ValueError as error:
            assert str(error).startswith("GEVENT_MAX_BLOCKING_TIME = 'soon': expected"), error
        else:
            raise AssertionError("no error")
        compat.uninstall()
        assert config.print_blocking_reports is True
        """,
        env=environ,
    )
    # By its own name it is another library: its variables mean nothing.
    run_isolated("import corolib; assert corolib.config.libev_backend is None", env=environ)


def test_its_settings_are_those_that_there_are() -> None:
    from corolib._config import SETTINGS
    from corolib.compat import gevent

    ours = {setting.name for setting in SETTINGS}
    assert ours - set(gevent.SETTINGS) == {"resolver_threads", "threadpool_size"}

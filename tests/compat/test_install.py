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

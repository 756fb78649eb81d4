"""The C API, from an extension compiled against capi.h; and the capsules."""

import ctypes
import importlib.util
import re
import signal
import sysconfig

import pytest
from helpers import run_isolated
from switch.building import ENGINE, HERE, build_extension

from corolib import _switch
from corolib._switch import GreenletExit, error, getcurrent, greenlet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("capi")
    target = folder / f"capi_client{sysconfig.get_config_var('EXT_SUFFIX')}"
    build_extension(target, [HERE / "capi_client.c"], ["-O2"])
    return folder


@pytest.fixture(scope="module")
def client(folder):
    path = next(folder.glob("capi_client*"))
    spec = importlib.util.spec_from_file_location("capi_client", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_capsule_has_greenlet_s_name_and_twelve_entries():
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = get(_switch._C_API, b"greenlet._C_API")
    entries = (ctypes.c_void_p * 12).from_address(table)
    assert all(entries)
    assert entries[0] == id(greenlet)
    assert entries[1] == id(error)
    assert entries[2] == id(GreenletExit)


def test_the_hub_s_capsule_is_versioned():
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = get(_switch._engine._hub_api, b"corolib._switch._engine._hub_api")
    header = (ENGINE / "hubapi.h").read_text()
    version = re.search(r"#define SWITCH_HUBAPI_VERSION (\d+)u", header)
    assert ctypes.c_uint.from_address(table).value == int(version.group(1))


def test_names_and_type_check(client):
    assert client.names() == (greenlet, error, GreenletExit)

    class Sub(greenlet):
        pass

    assert client.check(Sub())
    assert client.check(greenlet())
    assert not client.check(5)


def test_getcurrent(client):
    assert client.current() is getcurrent()
    child = greenlet(client.current)
    assert child.switch() is child


def test_new_switch_and_parent(client):
    main = getcurrent()
    child = client.new(lambda *args, **kwargs: (args, kwargs), None)
    assert type(child) is greenlet
    assert client.get_parent(child) is main
    assert client.get_parent(main) is None
    assert client.switch(child, (1, 2), {"a": 3}) == ((1, 2), {"a": 3})
    other = client.new(len, child)
    assert client.get_parent(other) is child
    client.set_parent(other, main)
    assert other.parent is main
    with pytest.raises(TypeError):
        client.new(len, 5)
    with pytest.raises(ValueError, match="cyclic"):
        client.set_parent(other, other)
    with pytest.raises(AttributeError):
        client.set_parent(main, other)


def test_switch_packs_as_the_method_does(client):
    main = getcurrent()
    got = []

    def run():
        while True:
            got.append(main.switch())

    child = greenlet(run)
    child.switch()
    for args, kwargs in (
        ((), None),
        (None, None),
        ((1,), {}),
        ((1, 2), None),
        (None, {"a": 1}),
        ((1,), {"a": 1}),
    ):
        client.switch(child, args, kwargs)
    assert got == [(), (), 1, (1, 2), {"a": 1}, ((1,), {"a": 1})]
    assert client.switch(greenlet(lambda: client.switch(main, ("out",), None)), None, None) == "out"


def test_throw(client):
    main = getcurrent()

    def run():
        try:
            main.switch()
        except BaseException as thrown:
            return thrown

    def parked():
        child = greenlet(run)
        child.switch()
        return child

    assert isinstance(client.throw(parked(), ValueError), ValueError)
    assert client.throw(parked(), ValueError, "x").args == ("x",)
    instance = ValueError()
    assert client.throw(parked(), instance) is instance
    try:
        raise instance
    except ValueError:
        thrown = client.throw(parked(), ValueError, instance, instance.__traceback__)
    assert thrown is instance
    with pytest.raises(TypeError, match="exceptions must be classes, or instances, not int"):
        client.throw(parked(), 5)


def test_states(client):
    main = getcurrent()
    child = greenlet(main.switch)
    assert client.states(main) == (1, 1, 1)
    assert client.states(child) == (0, 0, 0)
    child.switch()
    assert client.states(child) == (0, 1, 1)
    child.switch()
    assert client.states(child) == (0, 1, 0)


@pytest.mark.parametrize("wrong", [5, None, "greenlet"])
def test_what_is_no_greenlet_is_refused(client, wrong):
    for call in (
        lambda: client.switch(wrong, None, None),
        lambda: client.throw(wrong, ValueError),
        lambda: client.set_parent(wrong, getcurrent()),
        lambda: client.get_parent(wrong),
        lambda: client.states(wrong),
    ):
        with pytest.raises(TypeError, match="a greenlet is expected"):
            call()


def test_what_is_no_tuple_or_dict_is_refused(client):
    with pytest.raises(TypeError, match="must be a tuple or NULL, not list"):
        client.switch(greenlet(len), [], None)
    with pytest.raises(TypeError, match="must be a dict or NULL, not int"):
        client.switch(greenlet(len), (), 5)


def test_the_head_of_the_struct_is_what_the_header_says(client):
    child = greenlet(len)
    assert client.fields(child) == (None, True)
    child.attribute = 1
    assert client.fields(child) == ({"attribute": 1}, True)


def test_bytes_on_the_c_stack_come_back(client):
    main = getcurrent()

    def run(kilobytes):
        return [client.park(kilobytes, main) for _ in range(4)]

    children = [greenlet(run) for _ in range(100)]
    for number, child in enumerate(children):
        child.switch(number * 3 % 64)
    for _ in range(3):
        for child in children:
            child.switch()
    assert [child.switch() for child in children] == [[True] * 4] * 100


@pytest.mark.parametrize("lanes", [1, 2, 64])
def test_rounding_modes_stay_with_their_greenlets(folder, lanes):
    run_isolated(
        f"""
        import sys
        sys.path.insert(0, {str(folder)!r})
        import capi_client
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()
        from helpers import ROUNDING as modes

        def run(mode):
            return [capi_client.round_mode(mode, main) for _ in range(5)] == [mode] * 5

        children = [greenlet(run) for _ in range(40)]
        for number, child in enumerate(children):
            child.switch(modes[number % 4])
        for _ in range(4):
            for child in children:
                child.switch()
                assert 1.0 / 3.0 == 0.3333333333333333
        assert all(child.switch() is True for child in children)
        """,
        env={"COROLIB_LANES": str(lanes)},
    )


def test_a_lane_is_as_large_as_a_main_stack(folder):
    run_isolated(
        f"""
        import sys
        sys.path.insert(0, {str(folder)!r})
        import capi_client
        from corolib._switch import greenlet
        for pin in (False, True):
            greenlet(capi_client.use_stack, pin=pin).switch(7 << 20)
        """
    )


@pytest.mark.parametrize("pin", [False, True])
def test_a_stack_overflow_hits_the_guard_page_and_says_where(folder, pin):
    done = run_isolated(
        f"""
        import faulthandler, resource, sys
        sys.path.insert(0, {str(folder)!r})
        import capi_client
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.enable()
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()
        bystanders = [greenlet(main.switch) for _ in range(10)]
        for child in bystanders:
            child.switch()

        def overflows():
            capi_client.use_stack(9 << 20)

        greenlet(overflows, pin={pin}).switch()
        """,
        check=False,
    )
    assert done.returncode == -signal.SIGSEGV
    assert "Segmentation fault" in done.stderr
    assert "in overflows" in done.stderr

"""Who holds what was there before patching is found, told with who imported it, and set right where asked."""

from pathlib import Path

from helpers import run_isolated

PACKAGE = {
    "__init__.py": "",
    "client.py": """
        import functools, socket, threading, time
        from time import sleep
        from functools import partial

        class Client(socket.socket):
            pause = sleep
            @staticmethod
            def wait(seconds, pause=time.sleep, *, again=time.sleep): pause(seconds)

        class Local(threading.local): pass

        def enclosing(pause=None):
            pause = pause or time.sleep
            def inner(): return pause
            return inner

        inner = enclosing()
        TABLE = {"pause": sleep}
        LIST = [sleep]
        TUPLE = (1, sleep)
        harmless = time.monotonic
        """,
    "session.py": "from . import client\nfrom .client import Client\n",
    "late.py": "from .client import sleep\n",
}


def plant(folder: Path) -> dict[str, str]:
    package = folder / "package"
    package.mkdir()
    for name, source in PACKAGE.items():
        lines = source.split("\n")
        indent = len(lines[1]) - len(lines[1].lstrip()) if len(lines) > 1 else 0
        (package / name).write_text(
            "\n".join(line[indent:] if not line[:indent].strip() else line for line in lines)
        )
    return {"FOLDER": str(folder)}


BEGIN = """
import os, sys, warnings
sys.path.insert(0, os.environ["FOLDER"])
import package.session
from package.client import Client, Local, enclosing, inner
import package.client as client
from corolib import monkey
"""


def test_each_place_is_found_with_who_imported_the_module(tmp_path: Path) -> None:
    done = run_isolated(
        BEGIN
        + """
assert monkey.audit() == [], "nothing is patched"
warnings.simplefilter("ignore")
monkey.patch_all()
import package.late
for each in monkey.audit():
    if each.module.startswith("package"):
        print(each.attribute, each.original, each.module, each.importer)
        assert f"{each.attribute} is the {each.original} of before" in str(each)
assert "first imported by package.session" in str(monkey.audit()[0])
""",
        env=plant(tmp_path),
    )
    assert done.stdout.split("\n") == [
        "sleep time.sleep package.client package.session",
        "Client.pause time.sleep package.client package.session",
        "Client.wait(pause=) time.sleep package.client package.session",
        "Client.wait(again=) time.sleep package.client package.session",
        "Local(_local) _thread._local package.client package.session",
        "inner()pause time.sleep package.client package.session",
        "TABLE['pause'] time.sleep package.client package.session",
        "LIST[0] time.sleep package.client package.session",
        "TUPLE[1] time.sleep package.client package.session",
        "sleep time.sleep package.late __main__",
        "",
    ]


def test_what_can_be_set_is_set_if_asked_for_and_the_rest_is_warned_of(tmp_path: Path) -> None:
    done = run_isolated(
        BEGIN
        + """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    monkey.patch_all(rebind=True)
import time, corolib.time
assert client.sleep is Client.pause is client.TABLE["pause"] is client.LIST[0] is inner() is time.sleep
assert Client.wait.__defaults__ == (time.sleep,) and Client.wait.__kwdefaults__ == {"again": time.sleep}
assert client.TUPLE[1] is monkey.get_original("time", "sleep")
assert [each.attribute for each in monkey.audit()] == ["Local(_local)", "TUPLE[1]"]
(warning,) = caught
print(warning.message)
""",
        env=plant(tmp_path),
    )
    assert done.stdout == (
        "these names were taken before and stay as they were: "
        "package.client.Local(_local) (_thread._local) first imported by package.session, "
        "package.client.TUPLE[1] (time.sleep) first imported by package.session\n"
    )


def test_strict_refuses_what_cannot_be_set_right_before_it_does_anything(tmp_path: Path) -> None:
    done = run_isolated(
        BEGIN
        + """
import _thread, threading, time
held, held_and_exchanged = threading.Lock(), threading.RLock()
held.acquire(); held_and_exchanged.acquire()
go = _thread.allocate_lock()
go.acquire()
early = threading.Thread(target=go.acquire, name="Early"); early.start()
plain = time.sleep
try: monkey.patch_all(strict=True)
except monkey.MonkeyPatchError as error: print(error)
else: raise AssertionError
go.release(); early.join(); go.release()
assert not monkey.is_anything_patched() and time.sleep is plain and client.sleep is plain
del client.Local, client.TUPLE, Local
held.release()
assert monkey.patch_all(strict=True)
assert client.sleep is time.sleep is not monkey.get_original("time", "sleep")
assert monkey.patch_all(strict=True)
""",
        env=plant(tmp_path),
        options=("-W", "error"),
    )
    text = done.stdout
    assert text.startswith(
        "nothing was patched: package.client.Local(_local) is the _thread._local of before"
    )
    for part in (
        "package.client.TUPLE[1] is",
        "the native thread Early runs",
        "2 held locks stay native (__main__.held, __main__.go)",
    ):
        assert part in text
    assert "package.client.sleep is" not in text, "that can be set"
    assert text.count("\n") == 1


def test_the_standard_library_holds_nothing_any_more() -> None:
    """What it took when it was imported: functools its RLock, sched its sleep, pty its select..."""
    done = run_isolated(
        """
        import concurrent.futures, ftplib, functools, logging.handlers, multiprocessing.pool, pty, reprlib
        import asyncio, sched, http.server, queue, ssl, subprocess, tempfile, urllib.request, xmlrpc.server
        from corolib import monkey, thread
        from corolib.ssl import SSLSocket
        monkey.patch_all()
        assert functools.RLock is thread.RLock and reprlib.get_ident is thread.get_ident
        import time
        assert sched.scheduler().delayfunc is time.sleep
        assert ftplib._SSLSocket is SSLSocket, "or FTP_TLS would not end TLS"
        print(*monkey.audit(), sep="\\n")
        """,
        options=("-W", "error"),
    )
    # A class, which cannot be derived from something else once it is there.
    assert done.stdout.split(" is the ")[0] == "multiprocessing.util.ForkAwareLocal(_local)"
    assert done.stdout.count("\n") == 1


def test_one_module_patched_alone_mends_what_it_concerns() -> None:
    run_isolated(
        """
        import pty, sched
        from corolib import monkey
        monkey.patch_time()
        import time
        assert sched.scheduler().delayfunc is time.sleep
        assert pty.select is monkey.get_original("select", "select")
        """,
        options=("-W", "error"),
    )


def test_who_imported_a_module_after_patching_is_known_exactly(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text("def bring():\n    import second\n")
    (tmp_path / "second.py").write_text("from taken import sleep\n")
    run_isolated(
        """
        import os, sys, time, types
        sys.path.insert(0, os.environ["FOLDER"])
        taken = sys.modules["taken"] = types.ModuleType("taken")
        from corolib import monkey
        monkey.patch_all()
        taken.sleep = monkey.get_original("time", "sleep")
        import first
        first.bring()
        import second
        assert [each.importer for each in monkey.audit() if each.module == "second"] == ["first"]
        """,
        env={"FOLDER": str(tmp_path)},
    )


def test_odd_things_in_modules_are_walked_over() -> None:
    run_isolated(
        """
        import sys, types
        class Hostile:
            def __getattribute__(self, name): raise AssertionError(name)
            def __eq__(self, other): raise AssertionError
            __hash__ = object.__hash__
        class Meta(type):
            def __getattribute__(self, name):
                if name in ("__mro__", "__dict__", "__module__"): return super().__getattribute__(name)
                raise AssertionError(name)
        odd = types.ModuleType("odd")
        vars(odd).update(a=Hostile(), b=Meta("B", (), {}), c={1: Hostile()}, d=[Hostile()])
        vars(odd)[1] = "no name"
        sys.modules.update(odd=odd, none=None, hostile=Hostile(), empty=types.ModuleType("empty"))
        def not_yet():
            def inner(): return later
            sys.modules["odd"].inner = inner
            inner.__module__ = "odd"
            return inner
            later = 1
        not_yet()
        from corolib import monkey
        monkey.patch_all()
        monkey.audit()
        """,
        options=("-W", "error"),
    )

"""Modules that are imported later, or once more, are patched at import; others may be told as well."""

from pathlib import Path

from helpers import run_isolated


def test_a_module_that_is_imported_once_more_is_patched() -> None:
    run_isolated(
        """
        from corolib import monkey
        import importlib, sys
        monkey.patch_all()
        import queue, socket, threading, time
        sleep = time.sleep
        for module in (time, socket, queue):
            importlib.reload(module)
        assert time.sleep is sleep and monkey.get_original("time", "sleep") is not sleep
        import corolib.queue, corolib.socket
        assert socket.socket is corolib.socket.socket and queue.SimpleQueue is corolib.queue.SimpleQueue
        before = sys.modules.pop("threading")
        import threading as copy
        assert copy is not before
        assert copy.Lock is before.Lock and copy.Event is before.Event
        thread = copy.Thread(target=print, args=("works",)); thread.start(); thread.join()
        """,
        options=("-W", "error"),
    )


def test_only_what_is_patched_is_patched_again() -> None:
    run_isolated(
        """
        from corolib import monkey
        import importlib
        monkey.patch_all(thread=False, queue=False)
        import queue, time
        importlib.reload(queue); importlib.reload(time)
        assert queue.SimpleQueue is monkey.get_original("queue", "SimpleQueue")
        assert time.sleep is not monkey.get_original("time", "sleep")
        """
    )


def test_a_veto_holds_for_copies_too() -> None:
    run_isolated(
        """
        from corolib import events, monkey
        import importlib, time
        def subscriber(event):
            if isinstance(event, events.WillPatchModuleEvent) and event.module_name == "time":
                raise events.DoNotPatch
        events.subscribers.append(subscriber)
        plain = time.sleep
        monkey.patch_all()
        assert time.sleep is plain
        importlib.reload(time)
        assert time.sleep is plain or not monkey.is_object_patched("time", "sleep")
        """
    )


def test_others_are_told_of_imports(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("value = 1\nloader = __loader__, __spec__.loader\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").touch()
    (tmp_path / "parts" / "inner.py").write_text("from importlib.resources import files\nfiles('parts')\n")
    done = run_isolated(
        """
        import importlib, os, sys
        sys.path.insert(0, os.environ["FOLDER"])
        from corolib.monkey import when_imported
        def told(module):
            print(module.__name__, module.value, "mine" in sys.modules)
            module.value = 2
        when_imported("mine", told)
        when_imported("mine", lambda module: print("then", module.value))
        when_imported("broken", print)
        when_imported("no_such", print)
        when_imported("parts.inner", lambda module: print(module.__name__))
        when_imported("sys", lambda module: print("at once", module is sys))
        import mine
        assert mine.value == 2
        plain = type(os.__spec__.loader), importlib.machinery.SourceFileLoader
        assert all(type(each) in plain for each in mine.loader), "the module sees its real loader"
        assert mine.__loader__ is mine.__spec__.loader is mine.loader[0]
        import mine
        importlib.reload(mine)
        for name, error in (("broken", ZeroDivisionError), ("no_such", ModuleNotFoundError)):
            try: importlib.import_module(name)
            except error: assert name not in sys.modules
            else: raise AssertionError
        import parts.inner
        def refuse(module): raise ImportError("not with us")
        when_imported("parts.inner", lambda module: None)
        del sys.modules["mine"]
        when_imported("mine", refuse)
        try: import mine
        except ImportError as error: print(error)
        assert "mine" not in sys.modules
        """,
        env={"FOLDER": str(tmp_path)},
    )
    assert done.stdout.split("\n") == [
        "at once True",
        "mine 1 True",
        "then 2",
        "mine 1 True",
        "then 2",
        "parts.inner",
        "mine 1 True",
        "then 2",
        "not with us",
        "",
    ]


def test_a_module_can_still_be_run_and_its_source_had() -> None:
    """Both ask the loader that stands in for the real one."""
    done = run_isolated(
        """
        from corolib.monkey import when_imported
        when_imported("this", lambda module: print("told"))
        import importlib.util, runpy
        spec = importlib.util.find_spec("this")
        assert "Gur Mra" in spec.loader.get_source("this")
        assert spec.origin.endswith("this.py")
        assert runpy.run_module("this")["d"]["N"] == "A"
        import inspect, this
        assert inspect.getsource(this)
        """
    )
    assert done.stdout.count("told") == 1


def test_a_copy_of_queue_raises_the_same_empty() -> None:
    run_isolated(
        """
        from corolib import monkey
        monkey.patch_all()
        import queue, sys
        del sys.modules["queue"], sys.modules["_queue"]
        import _queue, queue as copy
        assert copy is not queue and copy.SimpleQueue is queue.SimpleQueue is _queue.SimpleQueue
        assert copy.Empty is queue.Empty is _queue.Empty
        try: copy.SimpleQueue().get(block=False)
        except copy.Empty: pass
        """
    )

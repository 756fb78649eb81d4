"""corolib.events: who is told what when modules are patched, vetoes, plugins of installed packages."""

import inspect
import sys

import pytest
from helpers import run_isolated

from corolib import events


@pytest.fixture
def subscribers():
    before = list(events.subscribers)
    yield events.subscribers
    events.subscribers[:] = before


def test_subscribers_are_called_in_order_and_may_leave(subscribers):
    seen = []

    def once(event):
        seen.append(("once", event))
        subscribers.remove(once)

    subscribers.append(once)
    subscribers.append(lambda event: seen.append(("always", event)))
    events.notify(1)
    events.notify(2)
    assert seen == [("once", 1), ("always", 1), ("always", 2)]


def test_what_a_subscriber_raises_comes_out(subscribers):
    def refuse(event):
        raise events.DoNotPatch

    subscribers.append(refuse)
    with pytest.raises(events.DoNotPatch):
        events.notify(None)
    assert issubclass(events.DoNotPatch, BaseException) and not issubclass(events.DoNotPatch, Exception)


def test_what_events_carry():
    started = events.PeriodicMonitorThreadStartedEvent("monitor")
    assert started.monitor == "monitor" and "monitor" in repr(started)
    blocked = events.EventLoopBlocked("greenlet", 0.25, ["line"], hub="hub")
    assert (blocked.greenlet, blocked.blocking_time, blocked.info, blocked.hub) == (
        "greenlet",
        0.25,
        ["line"],
        "hub",
    )
    assert repr(blocked) == "<EventLoopBlocked 0.250 s by 'greenlet'>"
    over = events.MemoryUsageThresholdExceeded(3, 2, "info")
    assert (over.mem_usage, over.max_allowed, over.memory_info) == (3, 2, "info")
    under = events.MemoryUsageUnderThreshold(1, 2, "info", 3)
    assert under.max_memory_usage == 3 and "used=1 max=2" in repr(under)
    module = events.WillPatchModuleEvent("name", sys, events, ["a", "b"])
    assert (module.module_name, module.source, module.target) == ("name", sys, events)
    assert module.target_item_names == {"a", "b"}
    everything = events.WillPatchAllEvent({"socket": True, "dns": False}, {"mine": 1})
    assert everything.will_patch_module("socket") and not everything.will_patch_module("dns")
    assert not everything.will_patch_module("no such")
    everything.patch_all_arguments.clear()
    everything.patch_all_kwargs.clear()
    assert everything.patch_all_arguments == {"socket": True, "dns": False}
    assert everything.patch_all_kwargs == {"mine": 1} and everything.source is everything.target is None


@pytest.mark.parametrize("name", [name for name in events.__all__ if name[:2].isupper() and name != "I"])
def test_the_interfaces_fit_their_classes(name):
    interface = getattr(events, name)
    cls = getattr(events, name[1:], None)
    if cls is None:
        assert name == "IPeriodicMonitorThread"
        return
    signature = inspect.signature(cls)
    made = cls(
        *[
            {} if "patch_all" in each or each == "items" else each
            for each in signature.parameters
            if each != "hub"
        ]
    )
    assert isinstance(made, interface)
    assert not isinstance(object(), interface)


def test_events_have_groups_of_entry_points():
    groups = {
        name: cls.ENTRY_POINT_NAME for name, cls in vars(events).items() if hasattr(cls, "ENTRY_POINT_NAME")
    }
    assert groups == {
        "PeriodicMonitorThreadStartedEvent": "corolib.plugins.hub.periodic_monitor_thread_started",
        "WillPatchModuleEvent": "corolib.plugins.monkey.will_patch_module",
        "DidPatchModuleEvent": "corolib.plugins.monkey.did_patch_module",
        "WillPatchAllEvent": "corolib.plugins.monkey.will_patch_all",
        "DidPatchBuiltinModulesEvent": "corolib.plugins.monkey.did_patch_builtins",
        "DidPatchAllEvent": "corolib.plugins.monkey.did_patch_all",
    }


# -- patching tells ------------------------------------------------------------------------------------------


def test_the_order_of_events_of_patch_all():
    run_isolated(
        """
        from corolib import events, monkey
        import time
        seen = []
        def note(event):
            name = type(event).__name__
            if name in ("WillPatchModuleEvent", "DidPatchModuleEvent"):
                seen.append((name, event.module_name, monkey.is_module_patched("time")))
            else:
                seen.append((name, event.patch_all_arguments["time"], event.patch_all_kwargs))
        events.subscribers.append(note)
        assert monkey.patch_all(dns=False, mine="own") is True
        assert seen[0] == ("WillPatchAllEvent", True, {"mine": "own"}), seen
        assert seen[-2:] == [
            ("DidPatchBuiltinModulesEvent", True, {"mine": "own"}),
            ("DidPatchAllEvent", True, {"mine": "own"}),
        ], seen
        modules = [each[1] for each in seen if each[0] == "DidPatchModuleEvent"]
        assert set(modules) >= {"time", "_thread", "threading", "select", "selectors", "socket", "queue"}
        for module in set(modules):
            # Names of one module may come from several of ours; then it is told of each.
            names = [each[0] for each in seen if each[1] == module]
            half = len(names) // 2
            assert names == ["WillPatchModuleEvent"] * half + ["DidPatchModuleEvent"] * half, names
        # The names are set in between.
        for each in (("WillPatchModuleEvent", "time", False), ("DidPatchModuleEvent", "time", True)):
            assert each in seen, seen
        # Once more: nothing is patched, so nothing is told of modules.
        del seen[:]
        monkey.patch_all(dns=False, mine="own")
        assert [each[0] for each in seen] == [
            "WillPatchAllEvent", "DidPatchBuiltinModulesEvent", "DidPatchAllEvent"
        ], seen
        """
    )


def test_a_veto_of_everything():
    run_isolated(
        """
        import time
        plain = time.sleep
        from corolib import events, monkey
        def refuse(event):
            if isinstance(event, events.WillPatchAllEvent):
                raise events.DoNotPatch
        events.subscribers.append(refuse)
        assert monkey.patch_all() is False
        assert not monkey.is_anything_patched() and time.sleep is plain
        events.subscribers.remove(refuse)
        assert monkey.patch_all() is True and time.sleep is not plain
        """
    )


def test_a_veto_of_one_module():
    run_isolated(
        """
        import select, selectors, socket, threading, time
        plain = time.sleep, threading.Lock, threading.Thread, selectors.DefaultSelector
        from corolib import events, monkey
        refused = {"time", "_thread", "threading", "selectors"}
        def refuse(event):
            if isinstance(event, events.WillPatchModuleEvent) and event.module_name in refused:
                raise events.DoNotPatch
        events.subscribers.append(refuse)
        assert monkey.patch_all() is True
        now = time.sleep, threading.Lock, threading.Thread, selectors.DefaultSelector
        assert now == plain
        assert not monkey.is_module_patched("threading") and monkey.is_module_patched("socket")
        assert threading.current_thread() is threading.main_thread()
        source = __import__("types").ModuleType("source")
        source.sleep = None
        assert monkey.patch_module("time", source, ["sleep"]) is False
        # Later it may be allowed.
        refused.clear()
        monkey.patch_time()
        assert monkey.is_module_patched("time")
        """
    )


def test_names_can_be_left_out():
    run_isolated(
        """
        import select
        plain = select.select
        from corolib import events, monkey
        def spare(event):
            if isinstance(event, events.WillPatchModuleEvent) and event.module_name == "select":
                event.target_item_names.discard("select")
        events.subscribers.append(spare)
        monkey.patch_all()
        assert select.select is plain
        assert monkey.is_object_patched("select", "poll") and not monkey.is_object_patched("select", "select")
        """
    )


def test_an_unknown_switch_is_refused_unless_somebody_may_know_it():
    run_isolated(
        """
        from corolib import events, monkey
        try:
            monkey.patch_all(sokcet=False)
        except TypeError as error:
            assert "patch_all() has no switch 'sokcet'" in str(error)
        else:
            raise AssertionError
        assert not monkey.is_anything_patched()
        """
    )


def test_plugins_of_installed_packages_are_called(tmp_path):
    (tmp_path / "my_plugin.py").write_text(
        "from corolib import events\n"
        "seen = []\n"
        "def note(event): seen.append(type(event).__name__)\n"
        "def refuse(event):\n"
        "    if event.module_name == 'time': raise events.DoNotPatch\n"
    )
    info = tmp_path / "my_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-plugin\nVersion: 1.0\n")
    groups = ["will_patch_all", "did_patch_builtins", "did_patch_all"]
    (info / "entry_points.txt").write_text(
        "".join(f"[corolib.plugins.monkey.{group}]\nmine = my_plugin:note\n" for group in groups)
        + "[corolib.plugins.monkey.will_patch_module]\nmine = my_plugin:refuse\n"
    )
    run_isolated(
        f"""
        import sys
        sys.path.append({str(tmp_path)!r})
        from corolib import monkey
        assert monkey.patch_all(mine=1)  # a plugin may know that switch
        import my_plugin
        assert my_plugin.seen == ["WillPatchAllEvent", "DidPatchBuiltinModulesEvent", "DidPatchAllEvent"]
        assert not monkey.is_module_patched("time") and monkey.is_module_patched("socket")
        """
    )


def test_without_plugins_nothing_is_imported_that_reads_them():
    run_isolated(
        """
        import sys
        from corolib import events, monkey
        before = set(sys.modules)
        monkey.patch_all()
        assert "importlib.metadata" not in set(sys.modules) - before
        """
    )


def test_a_path_that_is_no_folder_is_passed_over(tmp_path):
    (tmp_path / "file.zip").write_text("")
    (tmp_path / "odd-1.dist-info").mkdir()
    (tmp_path / "odd-1.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe")
    found = events._declarations([str(tmp_path / "file.zip"), str(tmp_path / "missing"), str(tmp_path)])
    assert list(found) == [b"\xff\xfe"]  # nothing of ours is in it, whatever it is

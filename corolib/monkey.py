"""Make the standard library cooperative: code that has never heard of corolib lets others run while it waits.

    from corolib import monkey
    monkey.patch_all()

as the first thing a program does, before it imports anything else; or, without touching the program,

    python -m corolib.monkey [--no-NAME ...] [-m] script.py [arguments]

What is replaced by what is the table below. Objects that were there before stay reachable: get_original().
What came too late is told in a warning; audit() finds who still holds what was there before.

Long, since each patch_*() is public and has arguments to be explained; how things are found and
exchanged is in `_audit` and in the modules `_patch_*`.
"""

import gc
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from ._audit import Originals, Place, Reference, places, references
from ._imports import at_next_import, when_imported
from ._libraries import WITH_SELECT
from ._native import original, saved
from .events import (
    DidPatchAllEvent,
    DidPatchBuiltinModulesEvent,
    DidPatchModuleEvent,
    DoNotPatch,
    WillPatchAllEvent,
    WillPatchModuleEvent,
    listening,
    notify,
)

__all__ = [
    "MonkeyPatchError",
    "MonkeyPatchWarning",
    "Reference",
    "audit",
    "get_original",
    "is_anything_patched",
    "is_module_patched",
    "is_object_patched",
    "main",
    "patch_all",
    "patch_builtins",
    "patch_contextvars",
    "patch_dns",
    "patch_item",
    "patch_module",
    "patch_os",
    "patch_queue",
    "patch_select",
    "patch_selectors",
    "patch_signal",
    "patch_socket",
    "patch_ssl",
    "patch_subprocess",
    "patch_sys",
    "patch_thread",
    "patch_time",
    "remove_item",
    "saved",
    "when_imported",
]


class MonkeyPatchWarning(RuntimeWarning):
    """Something was patched too late, or differently from before; the text says what stays as it was."""


class MonkeyPatchError(RuntimeError):
    """patch_all(strict=True) would have left something as it was; it has patched nothing.

    The text says what.
    """


class Row(NamedTuple):
    """One line of the table."""

    #: The standard library's module.
    target: str
    #: The module of corolib whose names go into it.
    source: str
    #: What patch_all() calls it; rows with one name are patched together.
    flag: str
    #: The targets it must come after.
    after: tuple[str, ...] = ()
    #: The attribute of the source that lists the names, or the names.
    names: str | tuple[str, ...] = "__implements__"
    default: bool = True


TABLE = (
    Row("os", "os", "os"),
    Row("os", "_descriptors", "os"),
    # Not the builtin: that one is seldom given a descriptor. os.fdopen() asks io for it.
    Row("io", "_pipes", "os"),
    Row("signal", "signal", "signal"),
    Row("time", "time", "time"),
    Row("_thread", "thread", "thread"),
    # threading took names from _thread when it was imported.
    Row("threading", "threading", "thread", after=("_thread",)),
    Row("_threading_local", "threading", "thread", after=("_thread",), names=("local",)),
    Row("select", "select", "select"),
    # Its classes took their calls from select when it was imported.
    Row("selectors", "selectors", "select", after=("select",)),
    Row("socket", "socket", "socket", names=("create_connection", "fromfd", "socket", "socketpair")),
    Row("socket", "socket", "dns", names="__dns__"),
    # It took names from socket when it was imported.
    Row("ssl", "ssl", "ssl", after=("socket",)),
    # Its lock is threading's, and its selector select's.
    Row("subprocess", "subprocess", "subprocess", after=("os", "select", "threading")),
    # Queue, LifoQueue and PriorityQueue are Python code over threading's locks, and cooperative with these.
    # Empty is the same; but not in a copy of the module.
    Row("_queue", "queue", "queue", names=("Empty", "SimpleQueue")),
    Row("queue", "queue", "queue", after=("_queue", "threading"), names=("SimpleQueue",)),
)

#: Flags that patch_all() of others knows and that have nothing to replace here.
NO_ROWS = (
    "Event",
    "aggressive",
    "builtins",
    "contextvars",
    "sys",
)

#: What was replaced and may be used as it was.
STILL_GOOD = {
    # The class of selectors that is the default one has become cooperative itself.
    ("selectors", "DefaultSelector"),
    # It is the builtin as well, which stays what it is.
    ("io", "open"),
}

#: References to what was there before that are right as they are: module, place.
HARMLESS = {
    # A running loop of asyncio belongs to a native thread, and so do these notes of it.
    ("asyncio.events", "_RunningLoop(_local)"),
    ("asyncio.events", "BaseDefaultEventLoopPolicy._Local(_local)"),
    ("asyncio.events", "_BaseDefaultEventLoopPolicy._Local(_local)"),  # since 3.14
}

# -- what one can ask ----------------------------------------------------------------------------------------


def get_original(mod_or_mods: str | Iterable[str], item_or_items: str | Iterable[str]) -> Any:
    """The object that a name of a module was before patching, patched or not.

    A list of them for several names.

    Of several modules the first that has been patched counts, or else the last. AttributeError if there is no
    such name.
    """
    modules = [mod_or_mods] if isinstance(mod_or_mods, str) else list(mod_or_mods)
    module = next((each for each in modules if each in saved), modules[-1])
    if isinstance(item_or_items, str):
        return original(module, item_or_items)
    return [original(module, item) for item in item_or_items]


def is_module_patched(mod_name: str) -> bool:
    """Whether anything of a module has been replaced."""
    return bool(saved.get(mod_name))


def is_object_patched(mod_name: str, item_name: str) -> bool:
    """Whether a name of a module has been replaced."""
    return item_name in saved.get(mod_name, {})


def is_anything_patched() -> bool:
    """Whether anything at all has been replaced."""
    return any(saved.values())


def audit() -> list[Reference]:
    """Who still holds what was there before patching: references in all modules that are imported by now.

    In globals, in containers that are globals, in classes, as defaults of functions, in what functions
    enclose, and classes derived from one that was replaced. Each says in which module and where, what it is,
    and which module was the first to import that module, if that can be told. References in local variables
    and in instances are not seen. Takes about a millisecond for each module.
    """
    originals = _originals()
    return references(_found(originals), originals)


# -- single names --------------------------------------------------------------------------------------------


def patch_item(module: ModuleType, attr: str, newitem: object) -> None:
    """Set a name of a module; what it was before is kept the first time."""
    before = getattr(module, attr, _NOTHING)
    if before is newitem:
        return
    if before is not _NOTHING:
        saved.setdefault(module.__name__, {}).setdefault(attr, before)
    setattr(module, attr, newitem)


def remove_item(module: ModuleType, attr: str) -> None:
    """Take a name out of a module; what it was is kept. Nothing if it is not there."""
    before = getattr(module, attr, _NOTHING)
    if before is not _NOTHING:
        saved.setdefault(module.__name__, {}).setdefault(attr, before)
        delattr(module, attr)


_NOTHING = object()


def patch_module(
    target: str | ModuleType, source: str | ModuleType | None = None, items: Iterable[str] | None = None
) -> bool:
    """Set names of a module to those of another one: `items`, or what the source lists as __implements__.

    Without a source it is the module of corolib with the target's name. Names that the target does not have
    in this Python are left out. True; False if a subscriber of `corolib.events` was against it.
    AttributeError if nothing says which names.
    """
    if isinstance(target, str):
        target = import_module(target)
    if source is None:
        source = import_module("." + target.__name__, __package__)
    elif isinstance(source, str):
        source = import_module(source)
    if items is None:
        items = getattr(source, "__implements__", None)
        if items is None:
            raise AttributeError(f"{source.__name__} does not say in __implements__ what it stands in for")
    if not _set_names(target, source, items):
        return False
    notify(DidPatchModuleEvent(target.__name__, source, target))
    return True


def _set_names(target: ModuleType, source: ModuleType, items: Iterable[str]) -> bool:
    """Ask the subscribers, then do it; False if one is against it."""
    event = WillPatchModuleEvent(
        target.__name__, source, target, (item for item in items if hasattr(target, item))
    )
    try:
        notify(event)
    except DoNotPatch:
        return False
    for item in sorted(event.target_item_names):
        new = getattr(source, item)
        named = getattr(new, "__func__", new)  # a bound method shows the module of its function
        if isinstance(named, (type, FunctionType)) and str(named.__module__).partition(".")[0] == __package__:
            # What is replaced says of itself where it is at home, in its repr and when it is pickled.
            named.__module__ = target.__name__
        patch_item(target, item, new)
    return True


def _patch_rows(flag: str, then: Callable[[set[str]], object] | None = None) -> bool:
    """All rows of one flag, but those that a subscriber is against, and then `then` with the names of the
    modules. False if there is nothing to do: they have been patched before, or may not be.
    """
    if flag in _done:
        return False
    _done.add(flag)
    patched = []
    for row in TABLE:
        if row.flag == flag:
            source, names = _names(row)
            target = import_module(row.target)
            if _set_names(target, source, names):
                patched.append((row.target, source, target))
    if not patched:
        _done.remove(flag)
        return False
    if then is not None:
        then({name for name, _, _ in patched})
    for name, source, target in patched:
        notify(DidPatchModuleEvent(name, source, target))
    for row in TABLE:
        if row.flag == flag and any(row.target == name for name, _, _ in patched):
            _watch(row)
    if not _in_patch_all:
        _mend()
    return True


def _names(row: Row) -> tuple[ModuleType, Iterable[str]]:
    """The source of a row, and the names in it."""
    source = import_module("." + row.source, __package__)
    return source, getattr(source, row.names) if isinstance(row.names, str) else row.names


def _watch(row: Row) -> None:
    """Patch a module when it is imported once more: after a reload, or as a copy."""

    def again(module: ModuleType) -> None:
        source, names = _names(row)
        _set_names(module, source, names)

    at_next_import(row.target, again)


#: The flags whose rows have been patched. Of the process, as the modules are.
_done: set[str] = set()

#: patch_all() is at work, and looks for references to what was there before when it is done.
_in_patch_all = False

# -- what others have taken before ---------------------------------------------------------------------------


def _originals() -> Originals:
    """What was replaced, as "module.name"."""
    found = Originals()
    # Where a name stands in several modules, the one where it is at home was patched first.
    for module, names in reversed(saved.items()):
        for name, value in names.items():
            if callable(value) and (module, name) not in STILL_GOOD:
                found.add(value, f"{module}.{name}")
    return found


def _found(originals: Originals) -> Iterator[Place]:
    """The places that hold one of these. The modules that are patched were seen to by their rows."""
    for place in places(originals, {row.target for row in TABLE}):
        derived = place.set is None and place.attribute.endswith("(socket)")
        # A class derived from the plain class of sockets is as cooperative as that is by then.
        if not derived and (place.module, place.attribute) not in HARMLESS:
            yield place


def _mend(everywhere: bool = False) -> list[Place]:
    """Set what modules of the standard library hold to what it was replaced by, or what any module holds.

    The places that stay as they are.
    """
    originals = _originals()
    left = []
    for place in _found(originals):
        if place.set is None or not (everywhere or _of_stdlib(place.module)):
            left.append(place)
        else:
            module, _, name = originals[id(place.value)].rpartition(".")
            place.set(getattr(import_module(module), name))
    return left


def _of_stdlib(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def _obstacles(flags: set[str]) -> list[str]:
    """What patching would leave as it is. Imports what is to be patched, and replaces nothing."""
    originals = Originals()
    for row in TABLE:
        if row.flag in flags - _done:
            _, names = _names(row)
            target = import_module(row.target)
            for name in names:
                value = getattr(target, name, None)
                if callable(value) and (row.target, name) not in STILL_GOOD and id(value) not in originals:
                    originals.add(value, f"{row.target}.{name}")
    fixed = [place for place in _found(originals) if place.set is None]
    found = [str(each) for each in references(fixed, originals)]
    if "thread" in flags - _done:
        from . import _patch_threading  # late, as in patch_thread()

        found += [f"the native thread {each.name} runs" for each in _patch_threading.live_threads()]
        held = Originals()
        for lock in _patch_threading.held_locks():
            held.add(lock, "lock")
        named = [f"{place.module}.{place.attribute}" for place in places(held, ())]
        if held:
            found.append(f"{len(held)} held locks stay native ({', '.join(named) or 'in no module'})")
    return found


# -- one function per module ---------------------------------------------------------------------------------


def patch_os() -> None:
    """os.waitpid(), fork() and their like; read() and write(); close(), which wakes who waits for the
    descriptor.
    """
    _patch_rows("os")


def patch_signal() -> None:
    """signal.signal(), so that handlers may wait, also those that are set already; set_wakeup_fd(), which the
    hub uses as well.
    """

    def then(patched: set[str]) -> None:
        from .signal import make_existing_cooperative

        make_existing_cooperative()

    _patch_rows("signal", then)


def patch_time() -> None:
    """time.sleep()"""
    _patch_rows("time")


def patch_thread(
    threading: bool = True,
    _threading_local: bool = True,
    Event: bool = True,
    logging: bool = True,
    existing_locks: bool = True,
) -> None:
    """Threads become greenlets, with locks, events and thread-local storage to match.

    And with the semaphores and the forks of multiprocessing.

    Native locks that exist already are exchanged, unless `existing_locks` is false. The other arguments are
    those of others' patch_thread(): here a thread is a greenlet altogether or not at all. Native threads that
    run already stay what they are, with a warning. To be called in the main thread: RuntimeError elsewhere.
    Never switches.
    """
    if "thread" in _done:
        return
    # Late, like all of the upper standard library: importing monkey must not bring in threading.
    from . import _patch_threading
    from ._native import in_main_thread
    from ._patch_multiprocessing import patch_multiprocessing

    if not in_main_thread():
        raise RuntimeError("patch_thread() must be called in the main thread")
    threads = _patch_threading.live_threads()

    def then(patched: set[str]) -> None:
        if "threading" in patched:
            _patch_threading.patch_threads()
        if existing_locks and "_thread" in patched:
            _patch_threading.patch_locks()
        patch_multiprocessing()
        when_imported("concurrent.futures.interpreter", _use_native_threads)
        when_imported("sqlite3.dbapi2", _keep_to_their_threads)

    if _patch_rows("thread", then) and threads:
        names = ", ".join(sorted(each.name for each in threads))
        _late(
            f"native threads run already ({names}); they stay native threads: patch before they are started"
        )


def _use_native_threads(interpreter: ModuleType) -> None:
    from ._patch_interpreters import patch_workers  # late: it brings in the pool of threads

    patch_workers(interpreter)


def _keep_to_their_threads(dbapi: ModuleType) -> None:
    from ._patch_sqlite3 import patch_connections  # late: few need it

    patch_connections(dbapi)


def patch_select(aggressive: bool = True) -> None:
    """select.select(), poll() and epoll(), and the selectors made of them.

    (`aggressive` has no effect: all of them.)
    """

    imported = "selectors" in sys.modules  # else there is no selector yet

    def then(patched: set[str]) -> None:
        # Late: they bring in the standard library's selectors.
        from ._patch_asyncio import patch_asyncio
        from .selectors import make_classes_cooperative, make_existing_cooperative

        if {"select", "selectors"} <= patched:
            make_classes_cooperative()
            if imported:
                make_existing_cooperative()
            patch_asyncio()
            for name, adapt in WITH_SELECT.items():
                when_imported(name, adapt)

    _patch_rows("select", then)


def patch_selectors(aggressive: bool = True) -> None:
    """The same as patch_select(): selectors are made of what is in select."""
    patch_select(aggressive)


def patch_socket(dns: bool = True, aggressive: bool = True) -> None:
    """Sockets, those that are there already too, and with `dns` look-ups of names.

    (`aggressive` has no effect.)
    """
    if "socket" not in _done:
        try:
            # Without patch_ssl() its sockets stay those of the standard library, and block: they must not
            # come to be built on ours, of whose timeouts they do not know.
            import ssl as ssl
        except ImportError:
            pass  # a Python without it

        def then(patched: set[str]) -> None:
            from ._patch_sockets import patch_plain_sockets

            if "socket" in saved.get("socket", ()):
                patch_plain_sockets(original("socket", "socket"))
            when_imported("http.client", _read_headers_quicker)

        _patch_rows("socket", then)
    if dns:
        patch_dns()


def _read_headers_quicker(client: ModuleType) -> None:
    from ._patch_http import patch_http  # late: it brings in the parser of mail

    patch_http(client)


def patch_ssl() -> None:
    """TLS sockets, also those of contexts that exist already."""
    if "ssl" not in _done:
        try:
            from .ssl import patch_contexts
        except ImportError:
            return  # a Python without it
        _patch_rows("ssl")
        patch_contexts()


def patch_dns() -> None:
    """socket.getaddrinfo(), gethostbyname() and their like."""
    _patch_rows("dns")


def patch_queue() -> None:
    """queue.SimpleQueue, also those that exist already.

    The other queues become cooperative with patch_thread(), being made of its locks. One of them that refuses
    at once (get(block=False)) lets other greenlets run first.
    """

    imported = "_queue" in sys.modules  # else there is no SimpleQueue yet

    def then(patched: set[str]) -> None:
        from ._patch_threading import patch_queues  # late, as in patch_thread()
        from .queue import let_others_run_when_refused

        when_imported("queue", let_others_run_when_refused)
        if "_queue" in patched and imported:
            patch_queues()

    _patch_rows("queue", then)


def patch_subprocess() -> None:
    """subprocess.Popen: its waits, and the pipes to the child."""
    _patch_rows("subprocess")


def patch_sys() -> None:
    """Nothing: reading from the terminal blocks. Use corolib.fileobject for standard input."""


def patch_builtins() -> None:
    """Nothing: there is no builtin that has to be replaced."""


def patch_contextvars() -> None:
    """Nothing: each greenlet has a context of its own."""


def patch_all(
    socket: bool = True,
    dns: bool = True,
    time: bool = True,
    select: bool = True,
    thread: bool = True,
    os: bool = True,
    ssl: bool = True,
    subprocess: bool = True,
    sys: bool = False,
    aggressive: bool = True,
    Event: bool = True,
    builtins: bool = True,
    signal: bool = True,
    queue: bool = True,
    contextvars: bool = True,
    *,
    rebind: bool = False,
    strict: bool = False,
    **others: bool,
) -> bool:
    """Patch everything that is not switched off; True. To be called first of all, in the main thread.

    Once more with the same arguments does nothing; with others it adds what they add, and warns. Modules that
    are imported anew (importlib.reload(), a copy) are patched as they are. What comes too late (names that
    modules took before, native threads that run) is told in a MonkeyPatchWarning.

    With `rebind` names that other modules took before are set as well: all that audit() would find and that
    can be set. With `strict` too, and what cannot be made right (a class that was derived from one that is
    replaced, a native thread that runs, a lock that somebody holds, a call in another thread than the main
    one) is a MonkeyPatchError, and nothing is patched.

    `sys`, `aggressive`, `Event`, `builtins` and `contextvars` are switches of modules that need no patching
    here. `others` are for subscribers of `corolib.events`, and a TypeError if there are none. False if one of
    these is against patching at all.
    """
    global _in_patch_all
    if others and not listening(WillPatchAllEvent):
        raise TypeError(f"patch_all() has no switch {', '.join(map(repr, others))}")
    arguments = {
        "socket": socket,
        "dns": dns,
        "time": time,
        "select": select,
        "thread": thread,
        "os": os,
        "ssl": ssl,
        "subprocess": subprocess,
        "sys": sys,
        "aggressive": aggressive,
        "Event": Event,
        "builtins": builtins,
        "signal": signal,
        "queue": queue,
        "contextvars": contextvars,
    }
    try:
        notify(WillPatchAllEvent(arguments, others))
    except DoNotPatch:
        return False
    flags = {flag for flag in {row.flag for row in TABLE} if arguments[flag]}
    if strict:
        obstacles = _obstacles(flags)
        if obstacles:
            raise MonkeyPatchError("nothing was patched: " + "; ".join(obstacles))
    if _arguments and _arguments != arguments:
        _late("patch_all() was called before with other arguments; what is patched stays patched")
    _arguments.clear()
    _arguments.update(arguments)
    known = set(_originals())
    _in_patch_all = True
    # What is imported stays: to look for garbage in the meantime is a tenth of the time that all this takes.
    collects = gc.isenabled()
    gc.disable()
    try:
        for flag, patch in (
            ("thread", patch_thread),  # first, since it may refuse
            ("os", patch_os),
            ("signal", patch_signal),
            ("time", patch_time),
            ("select", patch_select),
            ("socket", partial(patch_socket, dns=False)),
            ("dns", patch_dns),
            ("ssl", patch_ssl),
            ("subprocess", patch_subprocess),
            ("queue", patch_queue),
        ):
            if flag in flags:
                patch()
        left = _mend(everywhere=rebind or strict)
    finally:
        _in_patch_all = False
        if collects:
            if not gc.get_freeze_count():
                # All that is young becomes old, unseen, in place of a look at all of it at the next object.
                gc.freeze()
                gc.unfreeze()
            gc.enable()
    notify(DidPatchBuiltinModulesEvent(arguments, others))
    notify(DidPatchAllEvent(arguments, others))
    left = [each for each in left if id(each.value) not in known and not _of_stdlib(each.module)]
    if left:
        found = ", ".join(sorted(map(_said, references(left, _originals()))))
        _late(f"these names were taken before and stay as they were: {found}")
    return True


def _said(each: Reference) -> str:
    by = "" if each.importer is None else f" first imported by {each.importer}"
    return f"{each.module}.{each.attribute} ({each.original}){by}"


#: The arguments of the last patch_all().
_arguments: dict[str, bool] = {}


def _late(text: str) -> None:
    # The first caller outside this file is who can do something about it.
    depth, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        depth, frame = depth + 1, frame.f_back
    warnings.warn(text, MonkeyPatchWarning, stacklevel=depth)


# -- python -m corolib.monkey --------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Patch, then run a script or module as if Python had been called with it. Switches as that does."""
    from . import _command_line  # late: most programs call patch_all() themselves

    flags = list(dict.fromkeys(row.flag for row in TABLE))
    request = _command_line.read(sys.argv[1:] if arguments is None else arguments, flags, NO_ROWS)
    chosen = request.switches
    if any(chosen.values()):
        # To name one module is to leave out those that are not named.
        chosen = {name: chosen.get(name, False) for name in flags}
    patch_all(**chosen)
    if request.verbose:
        for module, names in saved.items():
            print(f"patched {module}: {', '.join(sorted(names))}", file=sys.stderr)
    _command_line.run(request.program, request.as_module)


if __name__ == "__main__":
    # Under its real name: what it keeps must be what others find in corolib.monkey.
    from .monkey import main as _main

    _main()

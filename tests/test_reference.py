"""Every public name says what it does; when it switches, if it can; the unit of its times; what it raises.

What is public, and where it has its entry in the reference, docs/_ext/public.py says.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

from helpers import ROOT

sys.path.insert(0, str(ROOT / "docs" / "_ext"))

from public import MODULES, homes, is_member, public_members, public_names

#: Whoever calls something of such a name may switch, so it says when it does, or that it never does.
WAITING_CALLS = {
    *("park", "sleep", "wait", "join", "acquire", "wait_read", "wait_write", "wait_readwrite", "settle"),
    *("accept", "connect", "recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into"),
    *(
        "send",
        "sendall",
        "sendto",
        "sendmsg",
        "getaddrinfo",
        "handshake",
        "do_handshake",
        "joinall",
        "killall",
    ),
}
SAYS_WHEN = re.compile(r"\b(switch|park|wait|block|let others run)", re.I)
#: Parameters that are times.
A_TIME = re.compile(
    r"(timeout|seconds|delay|after|repeat|grace|patience|period|interval|deadline)$|_(time|timeout)$"
)


#: What goes without saying, in docs/reference/index.md once for all.
UNSAID = {"NotImplementedError", "StopIteration", "TypeError"}


class Entry(NamedTuple):
    """Something with an entry in the reference. `about`: its docstring, with that of its class."""

    name: str
    thing: Any
    doc: str
    about: str


def entries() -> Iterator[Entry]:
    for module_name in MODULES:
        module = import_module(module_name)
        for name in public_names(module_name):
            thing = getattr(module, name)
            full = f"{module_name}.{name}"
            if homes()[id(thing)] != full:
                continue
            doc = own_doc(thing)
            yield Entry(full, thing, doc, doc)
            if inspect.isclass(thing):
                for member in public_members(thing):
                    value = function_of(inspect.getattr_static(thing, member))
                    text = own_doc(value)
                    yield Entry(f"{full}.{member}", value, text, f"{text}\n{doc}")


def function_of(value: Any) -> Any:
    if isinstance(value, classmethod | staticmethod):
        return value.__func__
    if isinstance(value, property):
        return value.fget
    return value.func if isinstance(value, cached_property) else value


def own_doc(thing: Any) -> str:
    """Not what is inherited from the type of an object that has none itself."""
    if not (inspect.isclass(thing) or inspect.isroutine(thing) or is_member(thing)):
        return type(thing).__doc__ or ""
    return thing.__doc__ or ""


ENTRIES = {entry.name: entry for entry in entries()}


def missing(found: Iterator[str]) -> None:
    lines = list(found)
    assert not lines, "\n".join(lines)


def test_what_it_does() -> None:
    missing(entry.name for entry in ENTRIES.values() if not (is_said(entry.doc) or is_said_elsewhere(entry)))


def is_said(doc: str) -> bool:
    return bool(doc.strip()) and not doc.startswith("Alias for field")


def is_said_elsewhere(entry: Entry) -> bool:
    """Of an attribute: in a comment `#:` above it, or in the docstring of its class, by its name."""
    if inspect.isfunction(entry.thing):
        return False
    owner, _, name = entry.name.rpartition(".")
    if re.search(rf"`{name}`|^ *(\w+, )*{name}(, \w+)*: ", entry.about, re.MULTILINE):
        return True
    cls = ENTRIES[owner].thing if owner in ENTRIES else None
    above = rf"#:.*\n(?:\s*#.*\n)*(?:\s*self\.\w+ = .*\n)*\s*(?:self\.)?{name}\b"
    return inspect.isclass(cls) and re.search(above, inspect.getsource(cls)) is not None


def test_the_unit_of_its_times() -> None:
    missing(
        f"{entry.name}({', '.join(times)}): {entry.doc[:60]!r}"
        for entry in ENTRIES.values()
        if (times := [name for name in parameters(entry.thing) if A_TIME.search(name)])
        and "second" not in entry.about
    )


def parameters(thing: Any) -> list[str]:
    try:
        return list(inspect.signature(thing).parameters)
    except (TypeError, ValueError):  # a function in C without a signature, an attribute
        return []


def test_no_signature_of_c_has_half_a_pair_of_quotes() -> None:
    """inspect.signature() fails at that with a TokenError (from Python 3.12 on), which no caller expects."""
    missing(
        f"{entry.name}{signature}"
        for entry in ENTRIES.values()
        if (signature := getattr(entry.thing, "__text_signature__", None) or "")
        and (signature.count("'") % 2 or signature.count('"') % 2)
    )


def test_when_it_switches() -> None:
    missing(
        f"{entry.name}: {entry.doc!r}"
        for entry in ENTRIES.values()
        if may_switch(entry) and not SAYS_WHEN.search(entry.about)
    )


def may_switch(entry: Entry) -> bool:
    if entry.name.rpartition(".")[2] in WAITING_CALLS:
        return True
    tree = syntax(entry.thing)
    return tree is not None and any(
        name_of_call(node) in WAITING_CALLS for node in own_nodes(tree) if isinstance(node, ast.Call)
    )


def test_what_it_raises() -> None:
    missing(
        f"{entry.name}: {', '.join(unsaid)}: {entry.doc!r}"
        for entry in ENTRIES.values()
        if (unsaid := [name for name in raised(entry.thing) if name not in entry.about])
    )


def raised(thing: Any) -> list[str]:
    """The classes of exceptions that stand after `raise` in a function, or in the making of an object."""
    tree = syntax(thing.__init__ if inspect.isclass(thing) else thing)
    found = []
    nodes = list(own_nodes(tree)) if tree else []
    caught = {
        name.id
        for node in nodes
        if isinstance(node, ast.ExceptHandler) and node.type is not None
        for name in ast.walk(node.type)
        if isinstance(name, ast.Name)
    }
    for node in nodes:
        if isinstance(node, ast.Raise) and node.exc is not None:
            call = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
            if name[:1].isupper() and name not in UNSAID | caught:
                found.append(name)
    return found


@cache
def syntax(thing: Any) -> ast.AST | None:
    if not inspect.isfunction(thing) or not Path(thing.__code__.co_filename).is_relative_to(ROOT / "corolib"):
        return None
    return ast.parse(dedent(inspect.getsource(thing))).body[0]


def own_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All below it, less what is in functions within it."""
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.FunctionDef | ast.Lambda):
            yield child
            yield from own_nodes(child)


def name_of_call(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Constant):
        return ""  # a method of a text: ", ".join()
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")

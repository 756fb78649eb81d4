"""The reference: a page of docs/reference/ says which module it is about, and is filled from the docstrings.

    <!-- reference: corolib.queue -->

stands for the module's docstring and an entry for each public name that is at home there. What is public is
what `__all__` says, less what a cooperative module takes over from the standard library as it is. A name that
several modules serve has its entry where it comes first in MODULES of `public`, and a link elsewhere.

Docstrings are plain text, with names and code in back quotes and programs indented, as they are read in an
editor or by help(). For autodoc they are made into reStructuredText.
"""

import inspect
import re
from functools import cache, cached_property
from importlib import import_module
from typing import Any

from docutils import nodes
from public import homes, is_method, public_members, public_names
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from corolib._config import SETTINGS

MARK = re.compile(r"<!-- reference: (\S+) -->")


def entry(full_name: str, thing: Any) -> list[str]:
    if inspect.isclass(thing):
        kind = "autoexception" if issubclass(thing, BaseException) else "autoclass"
        lines = ["", f".. {kind}:: {full_name}", "   :no-members:", "   :show-inheritance:", ""]
        for name in public_members(thing):
            value = inspect.getattr_static(thing, name)
            if is_method(value):
                member = "automethod"
            else:
                member = "autoproperty" if isinstance(value, property | cached_property) else "autoattribute"
            lines += [f"   .. {member}:: {full_name}.{name}", ""]
        return lines
    if inspect.isroutine(thing):
        return ["", f".. autofunction:: {full_name}", ""]
    return ["", f".. autodata:: {full_name}", "   :no-value:", ""]


def reference(module_name: str) -> str:
    """The entries of a module, as Markdown around reStructuredText."""
    documented, module = homes(), import_module(module_name)
    lines = [f".. automodule:: {module_name}", "   :no-members:", ""]
    elsewhere = []
    for name in public_names(module_name):
        thing = getattr(module, name)
        home = documented[id(thing)]
        if home == f"{module_name}.{name}":
            lines += entry(home, thing)
        else:
            elsewhere.append(f"- `{name}`: :py:obj:`{home}`")
    if elsewhere:
        lines += ["", "Also here:", "", *elsewhere]
    return "```{eval-rst}\n" + "\n".join(lines) + "\n```"


def settings() -> str:
    """The table of settings, as Markdown."""
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for setting in SETTINGS:
        default = (
            ", ".join(map(str, setting.default))
            if isinstance(setting.default, tuple)
            else repr(setting.default)
        )
        rows.append(f"| `{setting.name}`, `{setting.variable}` | `{default}` | {setting.meaning} |")
    return "\n".join(rows)


def fill_in(app: Sphinx, docname: str, source: list[str]) -> None:
    source[0] = source[0].replace("<!-- settings -->", settings())
    source[0] = MARK.sub(lambda found: reference(found[1]), source[0])


# -- plain text into reStructuredText ------------------------------------------------------------------------


def restructured(lines: list[str]) -> list[str]:
    """A docstring as autodoc is to read it."""
    result: list[str] = []
    for paragraph in paragraphs(lines):
        if all(not line or line.startswith(" ") for line in paragraph):
            result += ["::", "", *("    " + line for line in paragraph), ""]
        elif any(line.startswith("    ") for line in paragraph):
            result += [*items(paragraph), ""]
        else:
            result += [*plain("\n".join(paragraph)).split("\n"), ""]
    return result


def paragraphs(lines: list[str]) -> list[list[str]]:
    """Split at empty lines; indented ones that follow each other are one, with what is empty between them."""
    found: list[list[str]] = []
    for block in filter(None, "\n".join(lines).strip("\n").split("\n\n")):
        part = block.strip("\n").split("\n")
        indented = all(line.startswith(" ") for line in part)
        if indented and found and all(not line or line.startswith(" ") for line in found[-1]):
            found[-1] += ["", *part]
        else:
            found.append(part)
    return found


def items(paragraph: list[str]) -> list[str]:
    """What is explained below each other, `name: text`, with the lines that go on indented: as a list."""
    result = []
    for line in paragraph:
        if line.startswith(" "):
            result.append("  " + plain(line.strip()))
        else:
            name, colon, text = line.partition(": ")
            result.append(f"- ``{name}``: {plain(text)}" if colon else f"- {plain(line)}")
    return result


def plain(text: str) -> str:
    """Text whose stars, bars and underscores are what they are. What stands in back quotes is code; the name
    of something that has an entry becomes a link to it.
    """
    parts = re.split(r"(`[^`]*`)", text)
    for number, part in enumerate(parts):
        if number % 2 == 0:
            parts[number] = re.sub(r"([*|\\]|_(?=\W|$))", r"\\\1", part)
        else:
            home = linkable_names().get(part.strip("`"))
            parts[number] = f":py:obj:`{part[1:-1]} <{home}>`" if home else f"`{part}`"
    return "".join(parts)


@cache
def linkable_names() -> dict[str, str]:
    """What docstrings call things by, and the entry that is meant: `function()`, `Class`, `Class.method()`,
    all of these with their module. A name that could be two things, or is in small letters without
    parentheses, is none.
    """
    found: dict[str, str] = {}
    ambiguous = set()
    for home in homes().values():
        module_name, _, name = home.rpartition(".")
        thing = getattr(import_module(module_name), name)
        call = "" if inspect.isclass(thing) else "()"
        names = {f"{name}{call}": home, f"{home}{call}": home, home.removeprefix("corolib.") + call: home}
        if inspect.isclass(thing):
            for member in public_members(thing):
                names[f"{name}.{member}"] = names[f"{name}.{member}()"] = f"{home}.{member}"
        for spelled, target in names.items():
            if found.setdefault(spelled, target) != target:
                ambiguous.add(spelled)
    return {spelled: target for spelled, target in found.items() if spelled not in ambiguous}


def process_docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = restructured(lines)


def short_form(reference: addnodes.pending_xref) -> list[nodes.Node]:
    """What a link would show: of a name that can be written in two ways, the one without the module."""
    for child in reference.children:
        if isinstance(child, addnodes.pending_xref_condition) and child.get("condition") == "resolved":
            return child.children
    return reference.children


class LinkWholeNames(SphinxPostTransform):
    """In signatures, whole names are links; others (`type`) would be guessed at."""

    default_priority = 5

    def run(self, **kwargs: Any) -> None:
        known = self.env.domains.python_domain.objects
        for node in list(self.document.findall(addnodes.pending_xref)):
            if node.get("refdomain") == "py" and node["reftarget"] not in known:
                node.replace_self(short_form(node))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fill_in)
    app.connect("autodoc-process-docstring", process_docstring)
    app.add_post_transform(LinkWholeNames)
    return {"parallel_read_safe": True}

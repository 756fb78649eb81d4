"""Links to files of the repository that are no pages: programs, tests, the READMEs of the native parts.

A file that is linked to becomes a page of its own beside the others, with its text as it is. So the
documentation needs no network, and a link to a file that is not there is an error of the build.
"""

from collections import defaultdict
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.highlighting import PygmentsBridge
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parent.parent.parent
LANGUAGES = {
    ".py": "python",
    ".pyi": "python",
    ".c": "c",
    ".h": "c",
    ".toml": "toml",
    ".sh": "sh",
    ".md": "markdown",
}


def page_of(path: Path) -> str:
    """The name of the page that shows a file, or what is in a folder."""
    return f"_files/{path.relative_to(ROOT).as_posix()}"


#: Files that are included in a page of the documentation, and in which.
INCLUDED = {
    "corolib/_switch/README.md": "engine",
    "corolib/_hub/README.md": "hub-inside",
    "corolib/server/_http/README.md": "http-inside",
    "benchmarks/README.md": "repeating-benchmarks",
    "examples/README.md": "gallery",
}


class LinkFiles(SphinxTransform):
    """Links that lead out of docs/, or to what is no page, lead to the page of that file."""

    default_priority = 5
    #: Set by setup(): Sphinx 9 deprecates the transform's own `app`.
    sphinx: Sphinx

    def apply(self, **kwargs: Any) -> None:
        for node in list(self.document.findall(is_link_of_myst)):
            target = node["reftarget"]
            if node.get("refdomain") == "doc":
                target = f"/{target}.md"
            elif "#" in target:
                continue
            path = Path(self.env.relfn2path(target, self.env.docname)[1]).resolve()
            if not path.exists() or not path.is_relative_to(ROOT):
                continue
            name = path.relative_to(ROOT).as_posix()
            if name in INCLUDED:
                page = INCLUDED[name]
            elif self.env.path2doc(path) in self.env.found_docs:
                continue
            else:
                page = page_of(path)
                files_of(self.env)[self.env.docname].add(path)
            uri = self.sphinx.builder.get_relative_uri(self.env.docname, page)
            node.replace_self(nodes.reference("", "", *node.children, internal=True, refuri=uri))


def is_link_of_myst(node: nodes.Node) -> bool:
    kinds = (addnodes.pending_xref, addnodes.download_reference)
    return isinstance(node, kinds) and node.get("reftype") == "myst"


def files_of(env: BuildEnvironment) -> dict[str, set[Path]]:
    """The files that each page links to."""
    if not hasattr(env, "repository_files"):
        env.repository_files = defaultdict(set)  # type: ignore[attr-defined]  # ours, kept with the environment
    found: dict[str, set[Path]] = env.repository_files
    return found


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """A page for each file that was linked to."""
    bridge = PygmentsBridge("html", app.config.pygments_style or "default")
    for path in sorted(set().union(*files_of(app.env).values())):
        name = path.relative_to(ROOT).as_posix()
        if path.is_dir():
            inside = (
                child.name + "/" * child.is_dir()
                for child in sorted(path.iterdir())
                if child.name[0] not in "._"
            )
            body = "<ul>" + "".join(f"<li>{escape(child)}</li>" for child in inside) + "</ul>"
        else:
            body = bridge.highlight_block(path.read_text(), LANGUAGES.get(path.suffix, "text"))
        yield page_of(path), {"title": name, "body": f"<h1>{escape(name)}</h1>{body}", "toc": ""}, "page.html"


def forget(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    files_of(env).pop(docname, None)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("env-purge-doc", forget)
    app.connect("html-collect-pages", pages)
    LinkFiles.sphinx = app
    app.add_transform(LinkFiles)
    return {"parallel_read_safe": True, "parallel_write_safe": False}

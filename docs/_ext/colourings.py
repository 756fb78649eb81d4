"""Pictures that come in two colourings.

On a page they stand as GitHub shows them, `<picture>` with a `<source>` for dark pages and an `<img>` for the
others. Here they become two images, of which the theme shows the one that fits. `<!-- picture: NAME -->`
stands for one of the benchmarks, where it has been drawn.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent.parent
PAIR = re.compile(
    r'<picture>\s*<source [^>]*srcset="([^"]+)">\s*<img alt="([^"]*)" src="([^"]+)">\s*</picture>', re.DOTALL
)
MARK = re.compile(r"<!-- picture: ([\w-]+) \"([^\"]*)\" -->")


def both(dark: str, about: str, light: str) -> str:
    return f"![{about}]({light}){{.only-light}}\n![{about}]({dark}){{.only-dark}}"


def drawn(found: re.Match[str]) -> str:
    """The picture of that name, wherever benchmarks/run has put it; nothing if it has not been run."""
    name, about = found.groups()
    for light in sorted(HERE.rglob(f"{name}-light.svg")):
        if "_build" not in light.parts:
            path = light.relative_to(HERE).as_posix()
            return both(path.replace("-light.svg", "-dark.svg"), about, path)
    return ""


def fill_in(app: Sphinx, docname: str, source: list[str]) -> None:
    text = PAIR.sub(lambda found: both(*found.groups()), source[0])
    source[0] = MARK.sub(drawn, text)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fill_in)
    return {"parallel_read_safe": True}

"""What the pictures are drawn with: boxes, lines and texts in SVG, in colours for light and for dark pages.

A picture has one file. It asks the page that shows it, by `prefers-color-scheme`, which colours to take; it
has a ground of its own, so it can be read wherever it lands. Every text is text, so it can be searched.
"""

from collections.abc import Iterable
from html import escape
from pathlib import Path

HERE = Path(__file__).parent

#: Name of a colour -> (fill, line, text) on light pages, and the same on dark ones.
COLOURS = {
    "plain": (("#ffffff", "#c3cad5", "#1f2733"), ("#1c2330", "#4a566a", "#e6eaf0")),
    "soft": (("#eef1f5", "#c3cad5", "#5b6675"), ("#262f3e", "#4a566a", "#a3aebd")),
    "blue": (("#dbe8fd", "#3b74d6", "#1d4694"), ("#1d3358", "#6fa3f5", "#b9d3ff")),
    "orange": (("#fdebd0", "#d98a1f", "#8a5208"), ("#4a3314", "#eaa84a", "#ffdca6")),
    "green": (("#d5f2e3", "#2c9a63", "#11643c"), ("#153d2b", "#4cc38a", "#aef0cf")),
    "violet": (("#e8e0fb", "#7d5bd0", "#4b2f96"), ("#322558", "#a78bf0", "#d9ccff")),
    "red": (("#fbdedd", "#cf4a45", "#8f211d"), ("#4f1f1e", "#ee7f7a", "#ffc9c6")),
}
GROUND = ("#f7f8fa", "#12161e")
SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, 'SFMono-Regular', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def _style() -> str:
    def rules(theme: int) -> str:
        found = [f".ground{{fill:{GROUND[theme]}}}"]
        for name, themes in COLOURS.items():
            fill, line, text = themes[theme]
            found.append(
                f".f-{name}{{fill:{fill}}}.s-{name}{{stroke:{line}}}.l-{name}{{fill:{line}}}.t-{name}{{fill:{text}}}"
            )
        return "\n".join(found)

    return (
        f"text{{font-family:{SANS};font-size:13px}}\n"
        f".mono{{font-family:{MONO};font-size:12px}}\n"
        ".line{fill:none;stroke-width:1.5}\n"
        f"{rules(0)}\n@media (prefers-color-scheme: dark) {{\n{rules(1)}\n}}"
    )


def number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


class Picture:
    """A drawing of that size. What is drawn later lies above what was drawn before."""

    def __init__(self, width: float, height: float, title: str, description: str) -> None:
        self.width = width
        self.height = height
        self.title = title
        self.description = description
        self.parts: list[str] = []

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        colour: str = "plain",
        *,
        round: float = 5,
        dashed: bool = False,
        line: bool = True,
    ) -> None:
        stroke = f' class="f-{colour} s-{colour}" stroke-width="1.5"' if line else f' class="f-{colour}"'
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}" '
            f'rx="{number(round)}"{stroke}{dashes}/>'
        )

    def bar(self, x: float, y: float, width: float, height: float, colour: str, *, round: float = 2) -> None:
        """A box in the colour's strong tone."""
        self.parts.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}" '
            f'rx="{number(round)}" class="l-{colour}"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        text: str,
        colour: str = "plain",
        *,
        anchor: str = "start",
        mono: bool = False,
        bold: bool = False,
        size: float | None = None,
    ) -> None:
        """`y` is the line that the letters stand on."""
        kind = f"t-{colour} mono" if mono else f"t-{colour}"
        more = f' text-anchor="{anchor}"' if anchor != "start" else ""
        more += ' font-weight="600"' if bold else ""
        more += f' style="font-size:{number(size)}px"' if size else ""
        self.parts.append(
            f'<text x="{number(x)}" y="{number(y)}" class="{kind}"{more}>{escape(text, quote=False)}</text>'
        )

    def line(
        self,
        points: Iterable[tuple[float, float]],
        colour: str = "soft",
        *,
        arrow: bool = False,
        dashed: bool = False,
        width: float = 1.5,
    ) -> None:
        path = "M" + " L".join(f"{number(x)} {number(y)}" for x, y in points)
        self.path(path, colour, arrow=arrow, dashed=dashed, width=width)

    def path(
        self,
        path: str,
        colour: str = "soft",
        *,
        arrow: bool = False,
        dashed: bool = False,
        width: float = 1.5,
    ) -> None:
        end = f' marker-end="url(#arrow-{colour})"' if arrow else ""
        dashes = ' stroke-dasharray="4 4"' if dashed else ""
        thick = f' style="stroke-width:{number(width)}"' if width != 1.5 else ""
        self.parts.append(f'<path d="{path}" class="line s-{colour}"{thick}{end}{dashes}/>')

    def dot(self, x: float, y: float, label: str, colour: str = "plain") -> None:
        """A number in a circle."""
        self.parts.append(
            f'<circle cx="{number(x)}" cy="{number(y)}" r="9.5" class="f-{colour} s-{colour}" '
            'stroke-width="1.5"/>'
        )
        self.text(x, y + 4.2, label, colour, anchor="middle", bold=True, size=12)

    def svg(self) -> str:
        used = "\n".join(self.parts)
        markers = "\n".join(
            f'<marker id="arrow-{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
            'markerHeight="7" orient="auto-start-reverse">'
            f'<path d="M0 0.8 L10 5 L0 9.2 z" class="l-{name}"/></marker>'
            for name in COLOURS
            if f"arrow-{name})" in used
        )
        size = f'width="{number(self.width)}" height="{number(self.height)}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
            f'viewBox="0 0 {number(self.width)} {number(self.height)}" role="img" '
            'aria-labelledby="title description">\n'
            f'<title id="title">{escape(self.title)}</title>\n'
            f'<desc id="description">{escape(self.description)}</desc>\n'
            f"<style>\n{_style()}\n</style>\n"
            + (f"<defs>\n{markers}\n</defs>\n" if markers else "")
            + f'<rect {size} rx="10" class="ground"/>\n{used}\n</svg>\n'
        )

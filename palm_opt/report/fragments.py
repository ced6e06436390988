"""The pieces of HTML that a report is put together from. Every text of the user is escaped here, and nowhere else."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from palm_opt.report.drawing import colour, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["download", "facts", "grid", "image", "key", "page", "section", "text", "tiles"]

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document, self-contained: no network, no scripts; empty parts are left out."""
    style = files("palm_opt.report").joinpath("style.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def text(said: object) -> str:
    """A text as HTML, without what cannot stand there: control characters and lone surrogates."""
    return escape("".join(c if c.isprintable() else " " for c in str(said)))


def section(heading: str, body: str, kind: str = "") -> str:
    """A section with its heading; none without a body."""
    classes = f' class="{kind}"' if kind else ""
    return f"<section{classes}>\n<h2>{text(heading)}</h2>\n{body}\n</section>" if body else ""


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A table of labels and texts."""
    lines = "\n".join(f"<tr><th>{text(label)}</th><td>{text(said)}</td></tr>" for label, said in rows)
    return f'<div class="scroll"><table class="facts">\n{lines}\n</table></div>'


def grid(header: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1, kind: str = "") -> str:
    """A table of cells that are HTML already; the first `names` columns are names, the others numbers."""

    def line(cells: Sequence[str], tag: str) -> str:
        marks = (' class="name"' if k < names else "" for k in range(len(cells)))
        return "".join(f"<{tag}{mark}>{cell}</{tag}>" for mark, cell in zip(marks, cells, strict=True))

    opening = f'<tr class="{kind}">' if kind else "<tr>"
    lines = [f"<tr>{line(header, 'th')}</tr>", *(f"{opening}{line(cells, 'td')}</tr>" for cells in rows)]
    return f'<div class="scroll"><table>\n{chr(10).join(lines)}\n</table></div>'


def tiles(rows: Iterable[tuple[str, str, str]]) -> str:
    """A row of tiles: label, value, note."""
    cells = "\n".join(
        f"<div><dt>{text(label)}</dt><dd>{text(value)}<small>{text(note)}</small></dd></div>"
        for label, value, note in rows
    )
    return f'<section><dl class="tiles">\n{cells}\n</dl></section>'


def key(position: int) -> str:
    """The number of a member on its colour."""
    return f'<span class="key" style="background:{colour(position)}">{position + 1}</span>'


def image(figure: Figure, alternative: str, caption: str) -> str:
    """A figure, embedded as SVG."""
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg(figure)).decode()}"
    return f'<figure><img alt="{text(alternative)}" src="{source}"><figcaption>{text(caption)}</figcaption></figure>'


def download(name: str, kind: str, content: str) -> str:
    """A link to a file that the page carries."""
    data = base64.b64encode(content.encode()).decode()
    return f'<a download="{name}" href="data:{kind};base64,{data}">{name}</a>'

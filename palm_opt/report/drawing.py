"""How every figure is drawn: one style, colours, labels, and the bytes of a file. Figures carry no pyplot state."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palm_opt.errors import BackendNotFound
from palm_opt.storage import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "FAINT",
    "INK",
    "colour",
    "drawing",
    "heat_map",
    "label",
    "new_figure",
    "require_plot_libraries",
    "save",
    "svg",
]

#: Colours that stay apart for colour-blind readers (Okabe and Ito); members beyond them repeat, so all carry numbers.
COLOURS = ("#4C9BE8", "#E8A33D", "#4DB58A", "#E0719C", "#8F7EE7", "#C9B458", "#D9694F", "#5BB8C4", "#9AA5B1", "#A3C14A")
INK, FAINT = "#1f2933", "#c5ccd3"

_STYLE: Any = {
    "font.size": 9.5,
    "axes.edgecolor": "#8b96a1",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": "#52606d",
    "ytick.color": "#52606d",
    "svg.hashsalt": "palm_opt",
    "legend.frameon": False,
}


def require_plot_libraries() -> None:
    """Raise BackendNotFound with the pip command where matplotlib or mpltern is missing."""
    try:
        import matplotlib  # noqa: F401
        import mpltern  # noqa: F401
    except ImportError as error:
        raise BackendNotFound(f"figures need matplotlib and mpltern ({error}): pip install 'palm_opt[plot]'") from error


@contextmanager
def drawing() -> Iterator[None]:
    """Apply the style; a glyph that the font lacks is drawn as a box without a warning."""
    require_plot_libraries()
    import matplotlib

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def new_figure(width: float, height: float, pad: float = 0.04) -> Figure:
    """Make an empty figure; `pad` inches are kept free around each panel."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=pad, h_pad=pad))
    FigureCanvasAgg(figure)
    return figure


def label(text: str, limit: int = 30) -> str:
    """Make a user's text safe to draw: one line, cut in the middle, and never read as mathematics."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) > limit:
        line = f"{line[: limit // 2]}…{line[len(line) - (limit - 1) // 2 :]}"
    return line.replace("$", r"\$")


def colour(position: int) -> str:
    """The colour of a member."""
    return COLOURS[position % len(COLOURS)]


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as .png, .svg or .pdf, atomically; the same figure gives the same bytes."""
    kind = Path(path).suffix.lower().lstrip(".")
    with drawing(), atomic_path(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=160, metadata=_no_date(kind))


def svg(figure: Figure) -> bytes:
    """Render a figure as SVG."""
    stream = io.BytesIO()
    with drawing():
        figure.savefig(stream, format="svg", metadata=_no_date("svg"))
    return stream.getvalue()


def _no_date(kind: str) -> dict[str, None]:
    return {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})


def heat_map() -> Any:
    """Shades from low to high."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("palm", ["#f4f7fa", "#a9cdf0", "#4C9BE8", "#1f5f9f"])

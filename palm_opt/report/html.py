"""One self-contained HTML file about a result: no network, no scripts, every text of the user escaped."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from palm_opt.errors import BackendNotFound
from palm_opt.report import figures
from palm_opt.report.training import curves_figure, promises, run_headline, search_figures, verify_commands
from palm_opt.report.wording import at_least, at_most, headline, number, promise, proof, shares, untrained, weight_text
from palm_opt.storage import write_text
from palm_opt.tables import scales
from palm_opt.tables.values import ValueMatrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from palm_opt.result import Certified, Result

__all__ = ["write_report"]

MAX_ROWS = 60  #: rows of the value table
MAX_EMBEDDED = 3_000_000  #: bytes of certificate and values that are put into the file for download
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(
    path: str | Path,
    values: ValueMatrix | None = None,
    result: Result | Certified | None = None,
    frontier: Sequence[Result] | None = None,
    portfolio: Any = None,
    title: str | None = None,
) -> Path:
    """Write a report.

    Parameters
    ----------
    path : the HTML file, replaced atomically; alone, a portfolio directory (see `portfolio_report`).
    values : the table that the result is about.
    result : what `palm_opt.solve` or `palm_opt.certify` returned.
    frontier : what `palm_opt.frontier` returned, for the size-quality plot.
    portfolio : a trained portfolio (`palm_opt.align`), for standard errors and provenance.
    title : heading of the file; by default made from the result.

    Raises
    ------
    BackendNotFound : matplotlib or mpltern is missing; the message gives the pip command. With a `portfolio` the
        report is written without figures instead, and says so.
    """
    if values is None or result is None:
        from palm_opt.report.portfolio import portfolio_report

        return portfolio_report(path)
    missing = _missing_libraries(portfolio is None)
    heading = run_headline(portfolio) if hasattr(portfolio, "run") and portfolio.run else headline(values, result)
    manifest = _manifest(portfolio)
    parts = [
        _header(heading, title, result),
        _tiles(values, result, portfolio),
        _promised(portfolio),
        _members(values, result, manifest),
        missing,
        *([] if missing else [_map(values, result), _frontier(frontier), _errors(values, manifest), _run(portfolio)]),
        _proof(values, result),
        _values(values, result, not missing),
        _verify(values, result, portfolio),
        _provenance(values, result, manifest),
    ]
    style = files("palm_opt.report").joinpath("style.css").read_text("utf-8")
    document = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(_clean(title or heading))}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )
    return write_text(path, document)


def _missing_libraries(needed: bool) -> str:
    """Say in the report that figures need libraries; raise instead where they are `needed`."""
    try:
        figures.require_plot_libraries()
    except BackendNotFound as error:
        if needed:
            raise
        return f'<p class="note">No figures: {_text(error)}</p>'
    return ""


def _clean(text: object) -> str:
    """Replace what cannot stand in an HTML text: control characters and lone surrogates."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def _text(text: object) -> str:
    return escape(_clean(text))


def _section(heading: str, body: str, kind: str = "") -> str:
    classes = f' class="{kind}"' if kind else ""
    return f"<section{classes}>\n<h2>{_text(heading)}</h2>\n{body}\n</section>"


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    lines = "\n".join(f"<tr><th>{_text(label)}</th><td>{_text(text)}</td></tr>" for label, text in rows)
    return f'<div class="scroll"><table class="facts">\n{lines}\n</table></div>'


def _image(figure: Figure, alternative: str, caption: str) -> str:
    data = base64.b64encode(figures.svg(figure)).decode()
    source = f"data:image/svg+xml;base64,{data}"
    return f'<figure><img alt="{_text(alternative)}" src="{source}"><figcaption>{_text(caption)}</figcaption></figure>'


def _header(heading: str, title: str | None, result: Result | Certified) -> str:
    status = str(getattr(result, "status", "CERTIFIED"))
    kicker = f'<p class="kicker">{_text(title)}</p>' if title else '<p class="kicker">Portfolio report</p>'
    badge = f'<span class="badge {status}">{status}</span>'
    note = "Proved by exact arithmetic; the certificate can be checked without a solver."
    if result.certificate is None:
        note = "Nothing is proved."
    return f'<header>{kicker}<h1>{_text(heading)}</h1><p>{badge}<span class="note">{note}</span></p></header>'


def _tiles(values: ValueMatrix, result: Result | Certified, portfolio: Any) -> str:
    if not result.indices:
        return ""
    rewards = "1 reward" if values.d == 1 else f"{values.d} rewards"
    tiles = [("members", f"{result.size}", f"of {values.n} candidates, {rewards}")]
    if not values.unit_costs:
        tiles.append(("cost", number(result.cost), ""))
    bound = getattr(result, "lower_bound", None)
    tolerance = getattr(result, "tolerance", None)
    if tolerance is not None:
        least = getattr(result, "tolerance_lower_bound", None)
        tiles.append(("least tolerance", at_most(tolerance), f"proved: not below {at_least(least or 0.0)}"))
    elif bound is not None:
        unit = "member" if bound == 1 else "members"
        tiles.append(("proved needed", number(bound), unit if values.unit_costs else "least cost"))
    where = weight_text(result.worst_weight, values.rewards)
    if getattr(portfolio, "reference", "pool") != "pool":  # the heading has the promise, against more than the pool
        tiles.append(("worst regret", number(result.regret), f"against the best measured policy, at {where}"))
        return _tile_row(tiles)
    tiles.append(("worst regret", number(result.regret), f"at {where}"))
    both = "epsilon of the best, plus delta in units of the scale"
    note = "delta, in units of the scale" if result.epsilon == 0 else both
    tiles.append(("tolerance", promise(result.epsilon, result.delta).removeprefix("within "), note))
    return _tile_row(tiles)


def _tile_row(tiles: Sequence[tuple[str, str, str]]) -> str:
    cells = "\n".join(
        f"<div><dt>{_text(label)}</dt><dd>{_text(value)}<small>{_text(note)}</small></dd></div>"
        for label, value, note in tiles
    )
    return f'<section><dl class="tiles">\n{cells}\n</dl></section>'


def _key(position: int) -> str:
    colour = figures.COLOURS[position % len(figures.COLOURS)]
    return f'<span class="key" style="background:{colour}">{position + 1}</span>'


def _members(values: ValueMatrix, result: Result | Certified, manifest: Mapping[str, Any]) -> str:
    if not result.indices:
        return ""
    trained = {member["name"]: member for member in manifest.get("members", [])}
    head = '<tr><th class="name">member</th>' + ('<th class="name">trained for</th>' if trained else "")
    lines = [f"{head}<th>serves best</th>{'' if values.unit_costs else '<th>cost</th>'}</tr>"]
    for k, (i, share) in enumerate(zip(result.indices, shares(values, result.indices), strict=True)):
        cells = f'<td class="name">{_key(k)}{_text(values.names[i])}</td>'
        if trained:
            member = trained.get(values.names[i], {})
            weight = member.get("weight")
            told = untrained(member.get("adapter"), member.get("parts"))
            told = told if weight is None else weight_text(weight.values(), list(weight))
            cells += f'<td class="name">{_text(told)}</td>'
        cells += f"<td>{100 * share:.1f} %</td>"
        lines.append(f"<tr>{cells}{'' if values.unit_costs else f'<td>{number(values.costs[i])}</td>'}</tr>")
    note = (
        '<p class="note">"Serves best": the share of all preference weights for which the member is the best one.</p>'
    )
    return _section("Members", f'<div class="scroll"><table>\n{chr(10).join(lines)}\n</table></div>{note}', "long")


def _promised(portfolio: Any) -> str:
    """What a training run promises, against what."""
    rows = promises(portfolio) if hasattr(portfolio, "run") else []
    return _section("What is promised", _facts(rows)) if rows else ""


def _run(portfolio: Any) -> str:
    """Where a training run trained, and how its members learnt."""
    if not hasattr(portfolio, "run"):
        return ""
    curves = curves_figure(portfolio)
    pictures = [*search_figures(portfolio), *([] if curves is None else [curves])]
    body = "".join(_image(*picture) for picture in pictures)
    return _section("Where and how it trained", body) if body else ""


def _map(values: ValueMatrix, result: Result | Certified) -> str:
    figure = figures.preference_map(values, result.indices, result.worst_weight)
    if figure is None:
        return ""
    dashed = "; the dashed line is the best candidate" * (result.size < values.n)
    captions = {
        2: f"Each coloured line is the best member over an interval of weights{dashed}.",
        3: "Each point of the triangle is a preference, a corner gives all weight to one reward; the colour is the "
        "member that serves it best.",
        4: "The four faces of the simplex: three rewards share all weight, the fourth has none.",
    }
    edges = "Each bar is an edge of the simplex: two rewards share all weight, the others have none."
    body = _image(figure, figures.describe(result), captions.get(values.d, edges))
    if values.d == 4:
        body += _image(figures.edge_bars(values, result.indices), "Members along the edges of the simplex", edges)
    return _section("Who is served by whom", body)


def _frontier(results: Sequence[Result] | None) -> str:
    points = [result for result in results or () if result.indices]
    if len(points) < 2:
        return ""
    vary = "epsilon" if len({result.epsilon for result in points}) > 1 else "delta"
    caption = (
        "The worst-case loss over every preference, for each number of members. Nothing lies below the proved line."
    )
    figure = figures.frontier_figure(points, vary)
    return _section("What each further member buys", _image(figure, "Size against worst-case tolerance", caption))


def _errors(values: ValueMatrix, manifest: Mapping[str, Any]) -> str:
    rewards = [name for name in values.rewards if not name.startswith("-")]
    figure = figures.error_bars(manifest.get("members") or [], rewards) if rewards else None
    if figure is None:
        return ""
    caption = "Measured on held-out prompts, with two standard errors. The proof is about the means drawn as dots."
    return _section("Measured values", _image(figure, "Values with standard errors", caption))


def _proof(values: ValueMatrix, result: Result | Certified) -> str:
    return _section("What is proved, and what is not", _facts(proof(values, result)))


def _values(values: ValueMatrix, result: Result | Certified, draw: bool) -> str:
    figure = figures.heat_table(values, result.indices) if draw else None
    if figure is not None:
        caption = "Darker is better, from the least to the greatest value of all candidates in each column."
        body = _image(figure, "Values of the members", caption)
    else:
        body = _value_rows(values, list(result.indices)[:MAX_ROWS])
    others = np.setdiff1d(np.arange(values.n), result.indices)
    if len(others):
        body += f"<p>The {len(others)} candidates that are not members:</p>" + _summary(values, others)
    scale = scales.show(values.scale)
    units = {"none": "as measured", "minmax": "each reward scaled to 0..1 over all candidates"}.get(
        scale, f"scaled: {scale}"
    )
    return _section("Values", f'{body}<p class="note">Values: {_text(units)}; higher is better.</p>', "long")


def _value_rows(values: ValueMatrix, rows: Sequence[int]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in values.rewards)
    lines = [f'<tr><th class="name">candidate</th>{head}</tr>']
    for i in rows:
        cells = "".join(f"<td>{number(x)}</td>" for x in values.array[i])
        lines.append(f'<tr><td class="name">{_text(values.names[i])}</td>{cells}</tr>')
    return f'<div class="scroll"><table>\n{chr(10).join(lines)}\n</table></div>'


def _summary(values: ValueMatrix, rows: np.ndarray[Any, Any]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in values.rewards)
    lines = [f'<tr><th class="name"></th>{head}</tr>']
    statistics = (("greatest", np.max), ("median", np.median), ("least", np.min))
    for label, statistic in statistics:
        cells = "".join(f"<td>{number(float(x))}</td>" for x in statistic(values.array[rows], axis=0))
        lines.append(f'<tr class="rest"><td class="name">{label}</td>{cells}</tr>')
    return f'<div class="scroll"><table>\n{chr(10).join(lines)}\n</table></div>'


def _verify(values: ValueMatrix, result: Result | Certified, portfolio: Any) -> str:
    if result.certificate is None:
        return ""
    certificate = json.dumps(result.certificate, separators=(",", ":"), allow_nan=False) + "\n"
    table = values.to_csv()
    links, name = "", "certificate.json"
    if getattr(portfolio, "reference", "pool") != "pool":
        name = "certificate-pool.json"  # what the directory's own certificate.json proves is against more than the pool
    if len(certificate) + len(table) <= MAX_EMBEDDED:
        links = (
            f"<p>This report carries both files: {_download(name, 'application/json', certificate)} and "
            f"{_download('values.csv', 'text/csv', table)}.</p>"
        )
    commands = f"palm-opt verify {name} values.csv\npython certificate.py {name} values.csv"
    if hasattr(portfolio, "run"):
        commands = "\n".join([commands, *verify_commands(portfolio)])
    body = (
        f"{links}<p>Each command checks every claim in exact arithmetic. The second needs Python alone: "
        "<code>certificate.py</code> is one file of the package, <code>palm_opt/certificate.py</code>.</p>"
        f'<pre>{commands}</pre><p class="note">The last line begins with VERIFIED and repeats what was proved, or says '
        "NOT VERIFIED and names the first claim that fails. A values file in another format becomes this CSV with "
        "<code>palm-opt export FILE --csv</code>.</p>"
    )
    return _section("Check it yourself", body)


def _download(name: str, kind: str, text: str) -> str:
    data = base64.b64encode(text.encode()).decode()
    return f'<a download="{name}" href="data:{kind};base64,{data}">{name}</a>'


def _manifest(portfolio: Any) -> Mapping[str, Any]:
    """The manifest of a portfolio as a mapping, however it is given."""
    if portfolio is None:
        return {}
    if isinstance(portfolio, Mapping):
        return portfolio
    manifest = getattr(portfolio, "manifest", None)
    return manifest if isinstance(manifest, Mapping) else {}


def _provenance(values: ValueMatrix, result: Result | Certified, manifest: Mapping[str, Any]) -> str:
    from palm_opt import __version__

    rows = [("palm_opt", __version__)]
    if result.certificate is not None:
        document = result.certificate
        rows.append(("SHA-256 of the problem", str(document["sha256"])))
        rows.extend((what, ", ".join(document[what])) for what in ("required", "forbidden") if document.get(what))
    rows.append(("rewards", ", ".join(values.rewards)))
    rows.append(("exact tolerances", f"epsilon {result.epsilon!r}, delta {result.delta!r}"))
    backend = getattr(result, "backend", "")
    if backend:
        rows.append(("solver", f"backend {backend}, stopped: {getattr(result, 'stop', '')}"))
    counts = ", ".join(f"{key} {value}" for key, value in result.info.items() if isinstance(value, (int, float)))
    if counts:
        rows.append(("work", counts))
    return _section("Provenance", _facts([*rows, *_training(manifest)]))


def _training(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows about where the policies of a portfolio directory come from."""
    if not manifest:
        return []
    base, measured = manifest["base_model"], manifest["measured"]
    text = f"{measured.get('prompts')} held-out prompts x {measured.get('generations')} generations"
    clipped = {name: count for name, count in (measured.get("clipped") or {}).items() if count}
    return [
        ("base model", " ".join(str(base[key]) for key in ("name", "revision") if base.get(key))),
        ("SHA-256 of the base", str(base.get("sha256"))),
        ("beta (KL penalty)", str(manifest["beta"])),
        ("objective", str(manifest["objective"]).replace("_", " ")),
        ("measured on", text),
        ("mind", str(measured.get("note", ""))),
        ("rewards clipped", ", ".join(f"{name} {count}" for name, count in clipped.items()) or "none"),
    ]

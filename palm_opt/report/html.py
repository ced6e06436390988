"""One self-contained HTML file about a result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from palm_opt._version import __version__
from palm_opt.errors import BackendNotFound
from palm_opt.portfolio.directory import Portfolio
from palm_opt.report import figures, fragments
from palm_opt.report.browser import checked_in_browser
from palm_opt.report.claims import headline, proof, shares
from palm_opt.report.drawing import require_plot_libraries
from palm_opt.report.fragments import facts, grid, image, section, text
from palm_opt.report.training import curves_figure, promises, run_headline, search_figures, verify_commands
from palm_opt.result import Certified, Result
from palm_opt.storage import write_text
from palm_opt.tables import scales
from palm_opt.tables.values import ValueMatrix
from palm_opt.wording import at_least, at_most, number, plural, promise, untrained, weight_text

__all__ = ["write_report"]

MAX_ROWS = 60  #: rows of the value table
MAX_EMBEDDED = 3_000_000  #: bytes of certificate and values that are put into the file for download


def write_report(
    path: str | Path,
    values: ValueMatrix,
    result: Result | Certified,
    frontier: Sequence[Result] | None = None,
    portfolio: Portfolio | None = None,
    title: str | None = None,
) -> Path:
    """Write a report. That of a portfolio directory is written by `portfolio_report`.

    Parameters
    ----------
    path : the HTML file, replaced atomically.
    values : the table that the result is about.
    result : what `palm_opt.solve` or `palm_opt.certify` returned.
    frontier : what `palm_opt.frontier` returned, for the size-quality plot.
    portfolio : the trained portfolio (`palm_opt.align`) whose measured values these are: promises, errors, provenance.
    title : heading of the file; by default made from the result.

    Raises
    ------
    BackendNotFound : matplotlib or mpltern is missing; the message gives the pip command. With a `portfolio` the
        report is written without figures instead, and says so.
    """
    missing = _missing_libraries(portfolio is None)
    heading = run_headline(portfolio) if portfolio is not None and portfolio.run else headline(values, result)
    drawn = [] if missing else [_map(values, result), _frontier(frontier), _errors(portfolio), _run(portfolio)]
    parts = [
        _header(heading, title, result),
        _tiles(values, result, portfolio),
        _promised(portfolio),
        _members(values, result, portfolio),
        missing,
        *drawn,
        section("What is proved, and what is not", facts(proof(values, result)) + _stated(result)),
        _values(values, result, not missing),
        _verify(values, result, portfolio),
        _provenance(values, result, portfolio),
    ]
    return write_text(path, fragments.page(title or heading, parts))


def _stated(result: Result | Certified) -> str:
    """The checker's own sentences."""
    sentences = "".join(f"<li>{text(sentence)}</li>" for sentence in getattr(result.certificate, "statement", ()))
    return f'<p class="note">In the words of the checker:</p>\n<ul class="note">{sentences}</ul>' if sentences else ""


def _missing_libraries(needed: bool) -> str:
    """Say in the report that figures need libraries; raise instead where they are `needed`."""
    try:
        require_plot_libraries()
    except BackendNotFound as error:
        if needed:
            raise
        return f'<p class="note">No figures: {text(error)}</p>'
    return ""


def _header(heading: str, title: str | None, result: Result | Certified) -> str:
    status = str(result.status) if isinstance(result, Result) else "CERTIFIED"
    kicker = f'<p class="kicker">{text(title or "Portfolio report")}</p>'
    badge = f'<span class="badge {status}">{status}</span>'
    note = "Proved by exact arithmetic; the certificate can be checked without a solver."
    if result.certificate is None:
        note = "Nothing is proved."
    return f'<header>{kicker}<h1>{text(heading)}</h1><p>{badge}<span class="note">{note}</span></p></header>'


def _tiles(values: ValueMatrix, result: Result | Certified, portfolio: Portfolio | None) -> str:
    if not result.indices:
        return ""
    tiles = [("members", f"{result.size}", f"of {plural(values.n, 'candidate')}, {plural(values.d, 'reward')}")]
    if not values.unit_costs:
        tiles.append(("cost", at_most(result.cost), ""))
    if isinstance(result, Result) and result.tolerance is not None:
        least = at_least(result.tolerance_lower_bound or 0.0)
        tiles.append(("least tolerance", at_most(result.tolerance), f"proved: not below {least}"))
    elif isinstance(result, Result) and result.lower_bound > 0:
        unit = ("member" if result.lower_bound == 1 else "members") if values.unit_costs else "least cost"
        tiles.append(("proved needed", at_least(result.lower_bound), unit))
    where = weight_text(result.worst_weight, values.rewards)
    if portfolio is not None and portfolio.reference != "pool":  # the heading has the promise, against more than it
        tiles.append(("worst regret", at_most(result.regret), f"against the best measured policy, at {where}"))
        return fragments.tiles(tiles)
    tiles.append(("worst regret", at_most(result.regret), f"at {where}"))
    both = "epsilon of the best, plus delta in units of the scale"
    note = "delta, in units of the scale" if result.epsilon == 0 else both
    tiles.append(("tolerance", promise(result.epsilon, result.delta).removeprefix("within "), note))
    return fragments.tiles(tiles)


def _promised(portfolio: Portfolio | None) -> str:
    """What a training run promises, against what."""
    rows = [] if portfolio is None else promises(portfolio)
    return section("What is promised", facts(rows)) if rows else ""


def _members(values: ValueMatrix, result: Result | Certified, portfolio: Portfolio | None) -> str:
    if not result.indices:
        return ""
    header = ["member", *(["trained for"] if portfolio else []), "serves best"]
    rows = []
    for k, (i, share) in enumerate(zip(result.indices, shares(values, result.indices), strict=True)):
        cells = [fragments.key(k) + text(values.names[i])]
        if portfolio:
            member = portfolio.member(values.names[i])
            told = untrained(member.adapter, member.parts)
            cells.append(
                text(told if member.weight is None else weight_text(member.weight.values(), portfolio.rewards))
            )
        rows.append([*cells, f"{100 * share:.1f} %", *([] if values.unit_costs else [number(values.costs[i])])])
    table = grid([*header, *([] if values.unit_costs else ["cost"])], rows, names=2 if portfolio else 1)
    note = "the share of all preference weights for which the member is the best one."
    return section("Members", f'{table}<p class="note">"Serves best": {note}</p>', "long")


def _run(portfolio: Portfolio | None) -> str:
    """Where a training run trained, and how its members learnt."""
    if portfolio is None:
        return ""
    curves = curves_figure(portfolio)
    pictures = [*search_figures(portfolio), *([] if curves is None else [curves])]
    return section("Where and how it trained", "".join(image(*picture) for picture in pictures))


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
    body = image(figure, figures.describe(result), captions.get(values.d, edges))
    if values.d == 4:
        body += image(figures.edge_bars(values, result.indices), "Members along the edges of the simplex", edges)
    return section("Who is served by whom", body)


def _frontier(results: Sequence[Result] | None) -> str:
    points = [result for result in results or () if result.indices]
    if len(points) < 2:
        return ""
    vary = "epsilon" if len({result.epsilon for result in points}) > 1 else "delta"
    caption = (
        "The worst-case loss over every preference, for each number of members. Nothing lies below the proved line."
    )
    figure = figures.frontier_figure(points, vary)
    return section("What each further member buys", image(figure, "Size against worst-case tolerance", caption))


def _errors(portfolio: Portfolio | None) -> str:
    figure = None if portfolio is None else figures.error_bars(portfolio.members, portfolio.rewards)
    if figure is None:
        return ""
    caption = "Measured on held-out prompts, with two standard errors. The proof is about the means drawn as dots."
    return section("Measured values", image(figure, "Values with standard errors", caption))


def _values(values: ValueMatrix, result: Result | Certified, draw: bool) -> str:
    figure = figures.heat_table(values, result.indices) if draw else None
    heads = [text(name) for name in values.rewards]
    if figure is not None:
        caption = "Darker is better, from the least to the greatest value of all candidates in each column."
        body = image(figure, "Values of the members", caption)
    else:
        shown = result.indices[:MAX_ROWS]
        body = grid(["candidate", *heads], [[text(values.names[i]), *map(number, values.array[i])] for i in shown])
    others = np.setdiff1d(np.arange(values.n), result.indices)
    if len(others):
        statistics = (("greatest", np.max), ("median", np.median), ("least", np.min))
        rows = [[name, *map(number, statistic(values.array[others], axis=0))] for name, statistic in statistics]
        told = plural(len(others), "candidate that is no member", "candidates that are not members")
        body += f"<p>The {told}:</p>{grid(['', *heads], rows, kind='rest')}"
    scale = scales.show(values.scale)
    units = {"none": "as measured", "minmax": "each reward scaled to 0..1 over all candidates"}
    said = units.get(scale, f"scaled: {scale}")
    return section("Values", f'{body}<p class="note">Values: {text(said)}; higher is better.</p>', "long")


def _verify(values: ValueMatrix, result: Result | Certified, portfolio: Portfolio | None) -> str:
    if result.certificate is None:
        return ""
    certificate = json.dumps(result.certificate, separators=(",", ":"), allow_nan=False) + "\n"
    table = values.to_csv()
    links, name = "", "certificate.json"
    if portfolio is not None and portfolio.reference != "pool":
        name = "certificate-pool.json"  # what the directory's own certificate.json proves is against more than the pool
    if len(certificate) + len(table) <= MAX_EMBEDDED:
        carried = (name, "application/json", certificate), ("values.csv", "text/csv", table)
        links = f"<p>This report carries both files: {' and '.join(fragments.download(*file) for file in carried)}.</p>"
        links = checked_in_browser(certificate, table) + links
    commands = [f"palm-opt verify {name} values.csv", f"python -I checker {name} values.csv"]
    if portfolio is not None:
        commands += verify_commands(portfolio)
    body = (
        f"{links}<p>Each command checks every claim in exact arithmetic. The second needs Python alone: "
        "<code>checker</code> is a folder of the package, <code>palm_opt/checker</code>, or a copy of it.</p>"
        f"<pre>{chr(10).join(commands)}</pre>"
        '<p class="note">The last line begins with VERIFIED and repeats what was proved, or says '
        "NOT VERIFIED and names the first claim that fails. A values file in another format becomes this CSV with "
        "<code>palm-opt export FILE --csv</code>.</p>"
    )
    return section("Check it yourself", body)


def _provenance(values: ValueMatrix, result: Result | Certified, portfolio: Portfolio | None) -> str:
    rows = [("palm_opt", __version__)]
    if result.certificate is not None:
        document = result.certificate
        rows.append(("SHA-256 of the problem", str(document["sha256"])))
        rows.extend((what, ", ".join(document[what])) for what in ("required", "forbidden") if document.get(what))
    rows.append(("rewards", ", ".join(values.rewards)))
    rows.append(("exact tolerances", f"epsilon {result.epsilon!r}, delta {result.delta!r}"))
    if isinstance(result, Result) and result.backend:
        rows.append(("solver", f"backend {result.backend}, stopped: {result.stop}"))
    counts = ", ".join(f"{key} {value}" for key, value in result.info.items() if isinstance(value, (int, float)))
    if counts:
        rows.append(("work", counts))
    return section("Provenance", facts([*rows, *([] if portfolio is None else _training(portfolio))]))


def _training(portfolio: Portfolio) -> list[tuple[str, str]]:
    """Rows about where the policies of a portfolio directory come from."""
    base, measured = portfolio.base_model, portfolio.manifest["measured"]
    said = f"{measured.get('prompts')} held-out prompts x {measured.get('generations')} generations"
    clipped = {name: count for name, count in (measured.get("clipped") or {}).items() if count}
    return [
        ("base model", " ".join(str(base[key]) for key in ("name", "revision") if base.get(key))),
        ("SHA-256 of the base", str(base.get("sha256"))),
        ("beta (KL penalty)", str(portfolio.beta)),
        ("objective", portfolio.objective.replace("_", " ")),
        ("measured on", said),
        ("mind", str(measured.get("note", ""))),
        ("rewards clipped", ", ".join(f"{name} {count}" for name, count in clipped.items()) or "none"),
    ]

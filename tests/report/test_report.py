"""Reports: what they say, that they are self-contained, and that no text of a user reaches the page raw."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import palm_opt as palm
from palm_opt.measures.metrics import usage
from palm_opt.measures.regions import intervals, polygons, share
from palm_opt.portfolio.manifest import Member
from palm_opt.report import figures, write_frontier, write_plot, write_report
from palm_opt.report.claims import headline
from palm_opt.wording import at_least, at_most, confidence, number, on_new_prompts, promise, served

HOSTILE = '<script>alert("x")</script> $\\frac$ & \'"`\x07\u202e 名前'


def table(n: int, d: int, seed: int = 0) -> palm.ValueMatrix:
    return palm.ValueMatrix(np.random.default_rng(seed).random((n, d)))


class Page(HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 9])
def test_report_for_every_number_of_rewards(tmp_path: Path, d: int) -> None:
    values = table(30, d)
    result = palm.solve(values, delta=0.1)
    path = write_report(tmp_path / "r.html", values, result)
    page = Page(path.read_text("utf-8"))
    assert headline(values, result) in page.text
    for name in result.members:
        assert name in page.text
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == {1: 1, 2: 2, 3: 2, 4: 3, 5: 2, 9: 2}[d]
    assert all(attributes["alt"] for attributes in images)


def test_report_is_self_contained_and_escaped(tmp_path: Path) -> None:
    array = np.random.default_rng(1).random((12, 3))
    names = [f"{HOSTILE} {i}" for i in range(12)]
    values = palm.ValueMatrix(array, names=names, rewards=[f"<b>{k}</b> $x$" for k in range(3)], scale="minmax")
    result = palm.solve(values, delta=0.05)
    frontier = palm.frontier(values, "delta", 3)
    text = write_report(tmp_path / "r.html", values, result, frontier, title=HOSTILE).read_text("utf-8")
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"script", "iframe", "object", "link", "base", "form", "b"}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:"), (tag, value)
    assert "http://" not in re.sub(r"data:[^\"]*", "", text)
    for source in (attributes["src"] for tag, attributes in page.tags if tag == "img"):
        assert source is not None
        picture = base64.b64decode(source.partition("base64,")[2]).decode()
        assert "<script" not in picture and "<image" not in picture


def test_embedded_files_verify(tmp_path: Path) -> None:
    values = table(20, 3)
    result = palm.solve(values, delta=0.1)
    page = Page(write_report(tmp_path / "r.html", values, result).read_text("utf-8"))
    for _, attributes in page.tags:
        if attributes.get("download"):
            data = base64.b64decode((attributes["href"] or "").partition("base64,")[2])
            (tmp_path / str(attributes["download"])).write_bytes(data)
    proved = palm.verify(tmp_path / "certificate.json", tmp_path / "values.csv")
    assert proved.cost == result.cost


def test_report_is_deterministic(tmp_path: Path) -> None:
    values = table(25, 3)
    result = palm.solve(values, delta=0.1)
    pages = [write_report(tmp_path / name, values, result).read_bytes() for name in ("a.html", "b.html")]
    assert pages[0] == pages[1]


def test_report_without_a_portfolio(tmp_path: Path) -> None:
    values = palm.ValueMatrix([[1.0, 0.0], [0.0, 1.0]])
    result = palm.solve(values, delta=0.1, forbid=[0, 1])
    assert result.status is palm.Status.INFEASIBLE
    text = Page(write_report(tmp_path / "r.html", values, result).read_text("utf-8")).text
    assert "No admissible portfolio" in text
    with pytest.raises(palm.ProblemError, match="nothing to draw"):
        write_plot(tmp_path / "p.png", values, result)


def test_report_of_a_certified_portfolio(tmp_path: Path) -> None:
    values = table(20, 3)
    certified = palm.certify(values, [0, 1, 2], epsilon=0.0)
    text = Page(write_report(tmp_path / "r.html", values, certified).read_text("utf-8")).text
    assert "nothing is said about smaller portfolios" in text
    assert "no 2 can" not in text


def test_many_members_and_candidates(tmp_path: Path) -> None:
    angle = np.linspace(0, np.pi / 2, 300)
    values = palm.ValueMatrix(np.stack([np.cos(angle), np.sin(angle)], axis=1))
    certified = palm.certify(values, list(range(0, 300, 4)), epsilon=0.0)
    assert write_report(tmp_path / "r.html", values, certified).stat().st_size < 3_000_000


@pytest.mark.parametrize(("name", "magic"), [("p.png", b"\x89PNG"), ("p.svg", b"<?xml"), ("p.pdf", b"%PDF")])
@pytest.mark.parametrize("d", [1, 2, 3, 4, 6])
def test_plots(tmp_path: Path, name: str, magic: bytes, d: int) -> None:
    values = table(30, d)
    result = palm.solve(values, delta=0.1)
    first = write_plot(tmp_path / name, values, result).read_bytes()
    assert first.startswith(magic)
    assert write_plot(tmp_path / f"again-{name}", values, result).read_bytes() == first


def test_two_rewards_draw_the_pool_only_where_it_is_more_than_the_members() -> None:
    values = palm.ValueMatrix([[1.0, 0.0], [0.0, 1.0], [0.6, 0.6]])
    for indices, drawn in (([0, 1], True), ([0, 1, 2], False)):
        figure = figures.preference_map(values, indices)
        assert figure is not None
        assert ("best of all candidates" in [text.get_text() for text in figure.legends[0].get_texts()]) is drawn


def test_frontier_plot(tmp_path: Path) -> None:
    results = palm.frontier(table(20, 2), "delta", 4)
    assert write_frontier(tmp_path / "f.svg", results).stat().st_size > 1000
    with pytest.raises(palm.ProblemError, match=r"\.png, \.svg or \.pdf"):
        write_frontier(tmp_path / "f.gif", results)


def test_error_bars_only_where_there_are_errors() -> None:
    member = Member("a", None, {"x": 0.5}, {"x": 0.1}, 0.0, None)
    assert figures.error_bars([dataclasses.replace(member, standard_error={})], ["x"]) is None
    assert figures.error_bars([member], ["x"]) is not None


def test_headline_claims_only_what_is_proved() -> None:
    values = table(30, 3)
    result = palm.solve(values, delta=0.05)
    assert result.status is palm.Status.OPTIMAL and result.size >= 3
    assert headline(values, result).endswith(f"; no {result.size - 1} can.")
    open_gap = dataclasses.replace(result, status=palm.Status.FEASIBLE, lower_bound=result.cost - 1)
    assert "can." not in headline(values, open_gap) and "may not be the smallest" in headline(values, open_gap)


def test_promises_are_never_rounded_to_something_stronger() -> None:
    assert at_most(0.485646) == "0.4857" and at_least(0.485646) == "0.4856"
    assert at_most(0.05) == at_least(0.05) == "0.05"
    assert promise(0.0, 0.0123449) == "within 0.01235"
    assert promise(0.07, 0.0) == "within 7 %" and served(0.07, 0.0) == "within 7 % of the best"
    assert promise(0.07, 0.02) == "within 7 % plus 0.02" and served(0.07, 0.02) == "within 7 % plus 0.02 of the best"
    assert served(0.0, 0.02) == "within 0.02" and served(0.0, 0.0) == "exactly as well as the best"
    assert promise(0.0, 0.0) == "within 0"
    assert number(12345.0) == "12345" and number(float("inf")) == "infinity"


def test_intervals_follow_the_best_member() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        a, b = rng.integers(0, 5, (2, int(rng.integers(1, 8)))).astype(float)
        pieces = intervals(a, b)
        assert pieces[0][1] == 0 and pieces[-1][2] == 1
        assert all(first[2] == second[1] for first, second in itertools.pairwise(pieces))
        for member, low, high in pieces:
            for t in np.linspace(low, high, 5):
                assert (1 - t) * a[member] + t * b[member] >= ((1 - t) * a + t * b).max() - 1e-12


def test_polygons_follow_the_best_member_and_fill_the_triangle() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        members = rng.random((int(rng.integers(1, 8)), 3))
        shapes = polygons(members)
        assert sum(share(shape) for shape in shapes if len(shape)) == pytest.approx(1)
        for k, shape in enumerate(shapes):
            for w in shape:
                assert members[k] @ w >= (members @ w).max() - 1e-12


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_usage_is_the_share_of_weights_that_a_member_serves_best(d: int) -> None:
    rng = np.random.default_rng(d)
    weights = rng.dirichlet(np.ones(d), 20_000)
    for _ in range(10):  # small integers: equal members and ties, which go to the first
        members = rng.integers(0, 4, (int(rng.integers(1, 8)), d)).astype(float)
        counted = np.bincount((weights @ members.T).argmax(axis=1), minlength=len(members)) / len(weights)
        found, _ = usage(members)
        assert found.sum() == pytest.approx(1)
        np.testing.assert_allclose(found, counted, atol=0.02)


def test_values_read_from_the_report_are_the_table(tmp_path: Path) -> None:
    values = table(5, 2)
    result = palm.solve(values, delta=0.5)
    text = write_report(tmp_path / "r.html", values, result).read_text("utf-8")
    data = re.search(r'download="certificate.json" href="data:application/json;base64,([^"]*)"', text)
    assert data is not None
    assert json.loads(base64.b64decode(data.group(1))) == result.certificate


def test_a_probability_is_never_rounded_up() -> None:
    promised = {"epsilon": 0.0, "delta": 0.1, "prompts": 9.0, "prompts_needed": None}
    for alpha, text in ((0.05, "0.95:"), (1e-12, "0.9999:"), (0.01236, "0.9876:")):
        assert f"probability {text}" in on_new_prompts({**promised, "alpha": alpha})
    for alpha, text in ((0.05, "95"), (0.07, "93"), (1e-300, "99.99"), (0.0123, "98.77")):
        assert confidence(alpha, 100) == text

"""The rooms of the package have one way through: the order in docs/architecture.md, held against every import."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"<!-- the order -->\n+```\n(.*?)```", re.DOTALL)


def rooms(text: str) -> list[str]:
    """The rooms of docs/architecture.md from the ground up, as dotted prefixes; several may stand on one line."""
    found = FENCE.search(text)
    assert found, "docs/architecture.md: no order found"
    return [
        name.rstrip("/").replace("/", ".") for line in found[1].splitlines() for name in line.split("  ")[0].split()
    ]


def modules(package: Path) -> dict[str, ast.Module]:
    """Every module of a package by its dotted name below the package; a folder's own file has the folder's name."""
    result = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        result[name] = ast.parse(file.read_text(encoding="utf-8"), str(file))
    return result


def imports(name: str, tree: ast.Module, known: set[str], package: str) -> Iterator[tuple[str, int]]:
    """The modules of the package that a module imports, wherever the import stands, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == package:
                    yield alias.name[len(package) + 1 :], node.lineno
        elif isinstance(node, ast.ImportFrom):
            own_folder = node.level == 1 and name.split(".")[0] == "checker"  # it also runs as a copy, alone
            assert node.level == 0 or own_folder, f"{name}, line {node.lineno}: a relative import"
            module = f"{package}.checker.{node.module or ''}".rstrip(".") if own_folder else node.module
            if module is None or module.split(".")[0] != package:
                continue
            base = module[len(package) + 1 :]
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                yield (full if full in known else base), node.lineno


def room(name: str, order: list[str]) -> int:
    """The place of a module's room in the order: of the longest prefix that is listed."""
    fitting = [k for k, prefix in enumerate(order) if name == prefix or name.startswith(f"{prefix}.")]
    assert fitting, f"palm_opt/{name.replace('.', '/')}: not in the order of docs/architecture.md"
    return max(fitting, key=lambda k: len(order[k]))


def faults(package: Path, order: list[str]) -> list[str]:
    """Every import that goes up, and every circle between modules."""
    trees = modules(package)
    graph: dict[str, set[str]] = {}
    found = []
    for name, tree in trees.items():
        graph[name] = set()
        for target, line in imports(name, tree, set(trees), package.name):
            if not name or not target or target == "_core" or target == name:
                continue  # the package's own file hands out names; the compiled core imports nothing
            graph[name].add(target)
            if room(target, order) > room(name, order):
                found.append(f"{name}, line {line}: imports {target}, which stands above it")
    return found + [f"a circle: {' -> '.join(circle)}" for circle in circles(graph)]


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """One circle for each back edge of a depth-first walk."""
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> None:
        if name in path:
            found.append([*path[path.index(name) :], name])
        elif name not in done:
            for target in sorted(graph.get(name, ())):
                walk(target, [*path, name])
            done.add(name)

    for name in sorted(graph):
        walk(name, [])
    return found


def test_imports_point_one_way() -> None:
    order = rooms((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    assert faults(ROOT / "palm_opt", order) == []


def test_the_order_names_what_is_there() -> None:
    order = rooms((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    there = set(modules(ROOT / "palm_opt"))
    assert [name for name in order if name not in there] == []
    assert len(order) == len(set(order))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("from toy.high import f\n", "imports high"),
        ("def g():\n    from toy.high import f\n", "imports high"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from toy import high\n", "imports high"),
        ("import toy.high\n", "imports high"),
        ("from toy.low.b import g\n", "a circle"),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, text: str, fault: str) -> None:
    package = tmp_path / "toy"
    (package / "low").mkdir(parents=True)
    for file in ("__init__.py", "low/__init__.py", "high.py"):
        (package / file).write_text("", encoding="utf-8")
    (package / "low" / "a.py").write_text(text, encoding="utf-8")
    (package / "low" / "b.py").write_text("from toy.low.a import h\n", encoding="utf-8")
    assert any(fault in line for line in faults(package, ["low", "high"]))


def test_few_files_at_the_root() -> None:
    names = {file.name for file in (ROOT / "palm_opt").glob("*.py*")} - {"__init__.py", "__main__.py", "_version.py"}
    assert len(names) <= 8, sorted(names)


def test_no_module_shadows_a_public_name() -> None:
    import palm_opt

    folders = {item.stem for item in (ROOT / "palm_opt").iterdir() if item.is_dir() or item.suffix == ".py"}
    assert {name for name in folders & set(palm_opt.__all__) if name != "align"} == set()


def test_a_class_name_means_one_thing() -> None:
    seen: dict[str, str] = {}
    for name, tree in modules(ROOT / "palm_opt").items():
        if name.startswith("checker"):  # stands alone: it has names of its own for what it reads
            continue
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                assert node.name not in seen, f"class {node.name} in {name} and in {seen[node.name]}"
                seen[node.name] = name


def test_files_stay_small() -> None:
    long = [
        f"{file.relative_to(ROOT)}: {count} lines"
        for file in (ROOT / "palm_opt").rglob("*.py")
        if "checker" not in file.parts and (count := len(file.read_text(encoding="utf-8").splitlines())) > 400
    ]
    assert long == []

"""ValueMatrix: exact scales, negation, costs, and every bad input refused with its place."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import palm_opt as palm
from palm_opt.tables.grammar import number, parse
from tests.verify import exact_rows

NUMBERS = st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.0, 1e-300, 1e300, 0.1])


@given(
    arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 4)), elements=NUMBERS),
    st.sampled_from(["none", "minmax", (-1e6, 1e6)]),
    st.data(),
)
def test_floats_and_exact_values_agree_with_the_definition(array, scale, data):
    rewards = [data.draw(st.sampled_from(["", "-"])) + f"r{k}" for k in range(array.shape[1])]
    values = palm.ValueMatrix(array, rewards=rewards, scale=scale)
    rows = exact_rows(values)
    for i, row in enumerate(rows):
        assert values.exact(i) == row
        np.testing.assert_allclose(values.array[i], [float(x) for x in row], rtol=1e-12, atol=1e-12)
    if scale == "minmax":
        assert all(0 <= x <= 1 for row in rows for x in row)
    assert values.problem().sha256() == values.sha256


def test_scale_of_a_range_is_in_units_before_negation():
    values = palm.ValueMatrix([[0.0], [5.0], [10.0]], rewards=["-latency"], scale=(0, 10))
    assert values.array[:, 0].tolist() == [1.0, 0.5, 0.0]
    assert values.exact(1) == [Fraction(1, 2)]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("column", [[0.0, 5e-324], [-1.7e308, 1.7e308], [1.0, 1.0 + 2**-52]])
def test_ranges_at_the_ends_of_the_floats(column):
    for sign in ("", "-"):
        values = palm.ValueMatrix([[x] for x in column], rewards=[f"{sign}a"], scale="minmax")
        assert (
            values.array[:, 0].tolist() == ([1, 0] if sign else [0, 1]) == [float(values.exact(i)[0]) for i in (0, 1)]
        )


def test_constant_column_scales_to_zero():
    assert palm.ValueMatrix([[3.0, 1.0], [3.0, 2.0]], scale="minmax").array.tolist() == [[0, 0], [0, 1]]


def test_all_readers_agree(tmp_path):
    frame = pd.DataFrame({"model": ["a", "b"], "x": [1.0, 2.5], "y": [0.1, -3.0], "price": [1.0, 2.0]})
    frame.to_csv(tmp_path / "v.csv", index=False)
    frame.to_parquet(tmp_path / "v.parquet")
    np.savez(tmp_path / "v.npz", values=frame[["x", "y"]], names=["a", "b"], rewards=["x", "y"], costs=[1, 2])
    options = {"id": "model", "rewards": ["-y", "x"], "cost": "price", "scale": "minmax"}
    first = palm.ValueMatrix.from_frame(frame, **options)
    for name in ("v.csv", "v.parquet"):
        assert palm.ValueMatrix.read(tmp_path / name, **options).sha256 == first.sha256
    binary = palm.ValueMatrix.read(tmp_path / "v.npz", rewards=["-y", "x"], scale="minmax")
    assert binary.sha256 == first.sha256
    (tmp_path / "round.csv").write_text(first.to_csv())
    assert palm.ValueMatrix.read(tmp_path / "round.csv", **options).sha256 == first.sha256


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "empty"),
        ("id,a\n", {}, "at least one row"),
        ("id,a\nx,1\ny,nan\n", {"id": "id"}, "line 3.*'nan'.*'a'"),
        ("id,a\nx,1\ny,inf\n", {"id": "id"}, "line 3"),
        ("id,a\nx,1_0\n", {"id": "id"}, "line 2.*'1_0'"),
        ("id,a\nx,0x1p3\n", {"id": "id"}, "line 2"),
        ("id,a\nx,\n", {"id": "id"}, "line 2"),
        ("id,a\nx,1\nx,2\n", {"id": "id"}, "line 3: candidate 'x' occurs twice, first at .*line 2"),
        ("id,a\n,1\n", {"id": "id"}, "line 2.*empty"),
        ("id,a\nx,1,2\n", {"id": "id"}, "line 2: 3 cells, expected 2"),
        ("id,a\nx,1\n", {"id": "model"}, "no column 'model'"),
        ("id,a\nx,1\n", {"id": "id", "rewards": ["b"]}, "no column 'b'; it has id, a"),
        ("id,a\nx,1\n", {"id": "id", "rewards": ["a", "-a"]}, "'a' occurs twice"),
        ("id,a,a\nx,1,2\n", {"id": "id"}, "column 'a' occurs twice"),
        ("id,a,c\nx,1,-2\n", {"id": "id", "cost": "c"}, "line 2: cost -2"),
        ("id,a\nx,1\n", {"id": "id", "scale": (1, 1)}, "low < high"),
        ("id,a\nx,1\n", {"id": "id", "scale": "max"}, "'minmax'"),
    ],
)
def test_bad_files_are_refused_with_their_place(tmp_path, text, options, message):
    path = tmp_path / "values.csv"
    path.write_text(text)
    with pytest.raises(palm.ProblemError, match=message) as caught:
        palm.ValueMatrix.read(path, **options)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        ([], {}, "shape"),
        ([[]], {}, "shape"),
        ([1.0, 2.0], {}, "shape"),
        ([[1.0], [float("nan")]], {}, "row 1, column 0"),
        ([["a"]], {}, "numbers"),
        ([[1.0], [2.0]], {"names": ["x"]}, "names: expected one per candidate, 2, got 1"),
        ([[1.0], [2.0]], {"names": ["x", "x"]}, "'x' occurs twice"),
        ([[1.0]], {"rewards": ["-"]}, "its name"),
        ([[1.0]], {"costs": [-1]}, "costs: entry 0"),
        ([[1.0]], {"costs": [1, 2]}, "costs: expected shape"),
        ([[1e308], [-1e308]], {"scale": (0, 1e-300)}, "overflow"),
    ],
)
@pytest.mark.filterwarnings("error")  # one error, no warning of numpy before it
def test_bad_arrays_are_refused(array, options, message):
    with pytest.raises(palm.ProblemError, match=message):
        palm.ValueMatrix(array, **options)


CELLS = st.text("0123456789eE.+- \t_,x", max_size=5) | st.floats(allow_nan=False, allow_infinity=False).map(repr)


@given(st.lists(CELLS, min_size=1, max_size=4), st.sampled_from([".", ","]))
def test_a_column_at_once_reads_what_its_cells_read_one_by_one(column, decimal):
    np.testing.assert_array_equal(parse(column, decimal), [number(cell, decimal) for cell in column])


def test_names_and_indices():
    values = palm.ValueMatrix([[1.0], [2.0]], names=["alpha", "beta"])
    assert values.indices(["beta", 0]) == (0, 1)
    for bad, message in [
        (["alpa"], "did you mean 'alpha'"),
        ([2], "0 to 1"),
        ([0, "alpha"], "named twice"),
        ("beta", "text"),
    ]:
        with pytest.raises(palm.ProblemError, match=message):
            values.indices(bad)


def test_import_is_light():
    import subprocess
    import sys

    code = (
        "import sys, palm_opt; heavy = {'cvxpy', 'ortools', 'torch', 'pandas', 'matplotlib', 'numpy', 'scipy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

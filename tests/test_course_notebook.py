"""`show` prints two correct programs' results alike, and the style is the same everywhere."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from course import notebook
from course.notebook import Inline, show


def shown(capsys, *things, **options):
    show(*things, **options)
    return capsys.readouterr().out


@pytest.mark.parametrize("value, text", [
    (0.1 + 0.2, "0.3"), (-0.0, "0"), (1 / 3, "0.333333"), (123456789.0, "1.23457e+08"), (7, "7"),
    (np.float32(0.1), "0.1"), (np.int64(-3), "-3"), (True, "True"), (None, "None"), (float("nan"), "nan"),
    (-np.inf, "-inf"), (1e-20, "1e-20"), ("a\nb", "a\nb"), (np.array(2.5), "2.5"), (0.99999999, "1"),
    ([], "(empty, shape (0,))"), ((2, 3), "2  3"), (np.zeros((0, 3)), "(empty, shape (0, 3))"),
    (["x", "yz"], "x  yz"), ({"a": 1}, "{'a': 1}"), (10**20, "100000000000000000000"),
])
def test_one_value(capsys, value, text):
    assert shown(capsys, value) == text + "\n"


def test_columns_line_up_at_the_decimal_point(capsys):
    array = np.array([[1.0, -20.5], [0.125, np.nan], [1e-9, np.inf]])
    assert shown(capsys, array) == "    1      -20.5\n    0.125  nan\n1e-09      inf\n"


def test_negligible_beside_the_largest_is_zero(capsys):
    assert shown(capsys, [1e3, -1e-10, 1e-8]) == "1000  0  1e-08\n"


def test_side_by_side_and_below_each_other(capsys):
    assert shown(capsys, "x =", np.eye(2), 3) == "x =  1  0  3\n     0  1\n"
    wide = np.arange(1e5, 1e5 + 12)
    assert shown(capsys, "wide", wide).startswith("wide\n100000  100001  ")


def test_digits(capsys):
    assert shown(capsys, 2 / 3, [1 / 3, 100.0], digits=3) == "0.667  0.333  100\n"


def test_a_last_bit_never_shows(capsys):
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=2000), np.round(rng.normal(size=2000), 7), np.arange(1, 99) / 64])
    for x in values:
        assert notebook.number(x) == notebook.number(np.nextafter(x, np.inf)), repr(x)


def test_table(capsys):
    frame = pd.DataFrame({"name": ["relu", "softmax"], "loss": [0.5, -0.125], "n": [1, 20]})
    expected = "name       loss   n\nrelu      0.5     1\nsoftmax  -0.125  20\n"
    assert shown(capsys, frame) == expected
    assert shown(capsys, frame.set_index("name")) == expected


def test_refuses_more_than_two_dimensions():
    with pytest.raises(ValueError, match=r"at most two dimensions, got shape \(1, 2, 3\)"):
        show(np.zeros((1, 2, 3)))


def test_inline():
    assert repr(Inline(1 / 3)) == "0.333333" and repr(Inline("98.1")) == "98.1" and repr(Inline(-0.0)) == "0"


def test_style_does_not_depend_on_the_readers_own(monkeypatch):
    with mpl.rc_context({"lines.linewidth": 9, "font.family": "Nowhere", "lines.dash_capstyle": "round"}):
        notebook.set_style()
        assert mpl.rcParams["lines.linewidth"] == 1.8 and mpl.rcParams["font.family"] == ["DejaVu Sans"]
        assert mpl.rcParams["lines.dash_capstyle"] == mpl.rcParamsDefault["lines.dash_capstyle"]


def test_palette_is_distinct():
    assert len(set(notebook.PALETTE)) == len(notebook.PALETTE) == 7

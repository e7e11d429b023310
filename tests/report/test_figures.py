"""Charts as drawings: where things stand, and that nothing is drawn that was not measured."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from bier.report.figures import Series, heat_map, line_chart, mirrored_histogram, ticks


def draw(*series: Series, **options) -> ElementTree.Element:
    return ElementTree.fromstring(str(line_chart(series, describe="d", x_label="x", x_ticks={0: "a"}, **options)))


def corners(line: ElementTree.Element) -> list[tuple[float, float]]:
    return [tuple(map(float, point.split(","))) for point in line.get("points").split()]


@pytest.mark.parametrize(
    "span", [(0, 1), (0.312, 0.65), (-2, -1.9), (0, 1e9), (1e-9, 2e-9), (5, 5), (0, 0), (99.2, 99.9)]
)
def test_ticks_enclose_the_data_and_are_few(span):
    found = ticks(*span)
    assert found[0] <= span[0] + 1e-12
    assert found[-1] >= span[1] - 1e-12
    assert 2 <= len(found) <= 8


def test_a_line_goes_through_its_points():
    chart = draw(Series("s", "c0", [(0, 0.0), (1, 50.0), (2, 100.0)]))
    (a, b, c) = corners(chart.find(".//polyline"))
    assert a[1] > b[1] > c[1], "up is more"
    assert b[0] - a[0] == pytest.approx(c[0] - b[0], abs=0.2)
    assert b[1] == pytest.approx((a[1] + c[1]) / 2, abs=0.2)


def test_what_is_not_finite_leaves_a_gap():
    chart = draw(Series("s", "c0", [(0, 1.0), (1, 2.0), (2, math.nan), (3, math.inf), (4, 1.0), (5, 2.0)]))
    assert [len(corners(line)) for line in chart.iter("polyline")] == [2, 2]
    assert len(list(chart.iter("circle"))) == 4
    assert line_chart([Series("s", "c0", [(0, math.nan)])], describe="", x_label="", x_ticks={}) == ""


def test_names_of_lines_that_end_together_do_not_overlap():
    chart = draw(*(Series(f"line {i}", f"c{i}", [(0, 1.0), (1, 2.0 + i / 1000)]) for i in range(6)))
    heights = sorted(float(text.get("y")) for text in chart.iter("text") if (text.text or "").startswith("line"))
    assert min(b - a for a, b in pairwise(heights)) > 11


def test_the_mark_stands_at_its_point():
    chart = draw(Series("s", "c0", [(1, 0.0), (2, 5.0), (3, 1.0)]), mark=2)
    (mark,) = [line for line in chart.iter("line") if line.get("class") == "mark"]
    assert float(mark.get("x1")) == corners(chart.find(".//polyline"))[1][0]


def test_heat_map_shades_by_strength_and_tells_the_sign():
    svg = str(heat_map([[1.0, -0.5], [math.nan, 0.25]], ["<one>", "two"], describe="d"))
    cells = ElementTree.fromstring(svg).findall("g")
    assert [cell.get("class") for cell in cells] == ["cell positive", "cell negative", "cell positive", "cell positive"]
    assert [cell.find("text").text for cell in cells] == ["1.00", "-0.50", "–", "0.25"]
    assert [cell.find("rect").get("fill-opacity") for cell in cells] == ["1.00", "0.53", "0.06", "0.29"]
    assert "<one>" not in svg


def test_histogram_bars_are_shares_of_their_own_side():
    options = {"describe": "d", "names": ("up", "down")}
    chart = ElementTree.fromstring(str(mirrored_histogram([0, 1, 2], [3, 1], [0, 50], **options)))
    bars = {bar.find("title").text: float(bar.get("height")) for bar in chart.iter("rect")}
    assert set(bars) == {"0 to 1: 75.0% of up", "1 to 2: 25.0% of up", "1 to 2: 100.0% of down"}
    up, small, down = bars.values()
    assert (up / down, small / down) == (pytest.approx(0.75, abs=0.01), pytest.approx(0.25, abs=0.01))
    assert not re.search(r"nan|inf", str(mirrored_histogram([0, 1], [0], [0], **options)))

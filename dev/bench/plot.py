"""The ratios of a run as a picture."""

from __future__ import annotations

from typing import List

import drawsvg as draw

from dev.bench.measure import Measure

WIDTH, LEFT, ROW, TOP, LARGEST = 900, 400, 34, 40, 2.0
GOOD, BAD, AIM = "#2a7f3f", "#b3261e", "#555555"


def picture(measures: List[Measure]) -> str:
    """An SVG: for each ratio its rounds as dots, its median as a bar, and its aim as a line."""
    shown = [one for one in measures if one.unit]
    height = TOP + ROW * len(shown) + 30
    drawing = draw.Drawing(WIDTH, height, font_family="sans-serif")
    drawing.append(draw.Rectangle(0, 0, WIDTH, height, fill="white"))
    drawing.append(draw.Text("time of the pack / time of the reference (rates: the reverse); "
                             "| is the aim", 13, LEFT, 20, fill=AIM))
    for at in range(5):
        place = _at(at * LARGEST / 4)
        drawing.append(draw.Line(place, TOP - 8, place, height - 28, stroke="#dddddd"))
        drawing.append(draw.Text("%.1f" % (at * LARGEST / 4), 12, place, height - 12,
                                 text_anchor="middle", fill=AIM))
    for at, one in enumerate(shown):
        _row(drawing, one, TOP + ROW * at + ROW / 2)
    return str(drawing.as_svg())


def _row(drawing: draw.Drawing, one: Measure, y: float) -> None:
    color = GOOD if one.met else BAD
    drawing.append(draw.Text(one.name, 13, LEFT - 12, y, text_anchor="end",
                             dominant_baseline="central", fill="black"))
    for value in one.values:
        drawing.append(draw.Circle(_at(value), y, 3, fill=color, fill_opacity=0.35))
    median, aim = _at(one.median), _at(one.aim)
    drawing.append(draw.Line(median, y - 9, median, y + 9, stroke=color, stroke_width=4))
    drawing.append(draw.Line(aim, y - 13, aim, y + 13, stroke=AIM, stroke_width=1.5))
    drawing.append(draw.Text("%.2f" % one.median, 12, WIDTH - 8, y, text_anchor="end",
                             dominant_baseline="central", fill=color))


def _at(value: float) -> float:
    """What is beyond the scale stands at its end."""
    return LEFT + (WIDTH - LEFT - 60) * min(value, LARGEST) / LARGEST

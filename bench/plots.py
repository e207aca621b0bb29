#!/usr/bin/env python3
"""Draws what the cost grows with, as measured by bench/run --growth.

usage: plots.py RESULT.json OUT.svg

One panel for each thing that grows; both axes are logarithmic, so that a straight line at 45 degrees is proportional.
"""
import json
import math
import sys

COLUMNS, WIDTH, HEIGHT = 3, 320, 240
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 44
BLUE, GRAY, DARK = "#2a6fb0", "#ccc", "#333"


def escape(text):
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def text(x, y, content, anchor="middle", size=11.5, more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{DARK}"{more}>'
            f'{escape(content)}</text>')


def line(x1, y1, x2, y2, colour=GRAY):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def number(value):
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def ticks(low, high):
    """1, 2, 5, 10 ... inside low .. high; powers of ten alone where these are many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high < 500 * low else (1,)
    return [step * 10.0 ** k for k in decades for step in steps if low <= step * 10.0 ** k * (1 + 1e-9) <= high * 1.001]


class Axis:
    """Logarithmic: values low .. high at places first .. last."""

    def __init__(self, values, first, last):
        low, high = min(values), max(values)
        if high < 2 * low:  # a little room where there is one point only
            low, high = low / 2, high * 2
        self.low, self.high = low / 1.15, high * 1.15
        self.first, self.last = first, last

    def place(self, value):
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.first + share * (self.last - self.first)


def panel(series, x0, y0):
    points = series["points"]
    x = Axis([point[0] for point in points], x0 + LEFT, x0 + WIDTH - RIGHT)
    y = Axis([point[1] for point in points], y0 + HEIGHT - BOTTOM, y0 + TOP)
    parts = [text(x0 + LEFT, y0 + 20, f"{series['y']}, seconds", "start", 12.5, ' font-weight="bold"')]
    for value in ticks(y.low, y.high):
        parts += [line(x.first, y.place(value), x.last, y.place(value)),
                  text(x.first - 6, y.place(value) + 4, number(value), "end")]
    for value, _ in points:
        parts += [line(x.place(value), y.first, x.place(value), y.first + 4, DARK),
                  text(x.place(value), y.first + 17, number(value), size=10.5)]
    places = [(x.place(a), y.place(b)) for a, b in points]
    parts.append(f'<polyline fill="none" stroke="{BLUE}" stroke-width="2" points="' +
                 " ".join(f"{a:.1f},{b:.1f}" for a, b in places) + '"/>')
    parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{BLUE}"><title>{number(point[0])}: {point[1]:.4g} s'
              '</title></circle>' for (a, b), point in zip(places, points)]
    parts += [line(x.first, y.first, x.last, y.first, DARK), line(x.first, y.first, x.first, y.last, DARK),
              text((x.first + x.last) / 2, y.first + 36, series["x"])]
    return "\n".join(parts)


def draw(growth):
    """The SVG."""
    rows = -(-len(growth) // COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
             f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for i, series in enumerate(growth.values()):
        parts.append(panel(series, i % COLUMNS * WIDTH, i // COLUMNS * HEIGHT))
    return "\n".join(parts) + "\n</svg>\n"


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: plots.py RESULT.json OUT.svg")
    with open(sys.argv[1]) as file:
        result = json.load(file)
    if not result.get("growth"):
        sys.exit(f"{sys.argv[1]}: no growth in it: bench/run --growth measures that")
    with open(sys.argv[2], "w") as file:
        file.write(draw(result["growth"]))


if __name__ == "__main__":
    main()

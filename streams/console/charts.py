"""Build SVG paths in a box of 1000 x 100, which the page stretches to its size. Labels are HTML beside the plot."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT = 1000.0, 100.0


def line(values: Sequence[float | None], low: float, high: float, at: Sequence[float] | None = None) -> str:
    """Build a path through the values with gaps at None.

    Args:
        values: The y values.
        low: The y value at the bottom.
        high: The y value at the top.
        at: The x positions from 0 to 1; None spaces the values evenly.

    >>> line([0, 1], 0, 1), line([1, None, 0], 0, 2), line([], 0, 1)
    ('M0 100L1000 0', 'M0 50M1000 100', '')
    """
    path, pen = [], "M"
    span = high - low or 1.0
    for i, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        x = WIDTH * (at[i] if at is not None else i / max(len(values) - 1, 1))
        y = HEIGHT * (1 - (min(max(value, low), high) - low) / span)
        path.append(f"{pen}{x:.4g} {y:.4g}")
        pen = "L"
    return "".join(path)


def dots(values: Sequence[float], low: float, high: float, at: Sequence[float]) -> str:
    """Build a path of dots: zero-length lines with round caps, which stretching does not distort."""
    span = high - low or 1.0
    points = (
        (WIDTH * x, HEIGHT * (1 - (min(max(v, low), high) - low) / span)) for v, x in zip(values, at, strict=True)
    )
    return "".join(f"M{x:.4g} {y:.4g}h0" for x, y in points)


def bars(values: Sequence[float], high: float) -> list[tuple[float, float, float, float]]:
    """Return (x, y, width, height) of a bar for each value. A value above zero is always visible.

    >>> bars([0, 5], 10)
    [(0.0, 100.0, 400.0, 0.0), (500.0, 50.0, 400.0, 50.0)]
    """
    step = WIDTH / max(len(values), 1)
    rectangles = []
    for i, value in enumerate(values):
        height = 0.0 if value <= 0 else max(4.0, HEIGHT * min(value / (high or 1.0), 1.0))
        rectangles.append((round(i * step, 2), round(HEIGHT - height, 2), round(step * 0.8, 2), round(height, 2)))
    return rectangles


def ceiling(value: float) -> float:
    """Return the next round number at or above a value, as the end of an axis.

    >>> [ceiling(v) for v in (0.0, 0.07, 0.4, 3.2, 90.0)]
    [1.0, 0.1, 0.5, 5.0, 100.0]
    """
    if value <= 0:
        return 1.0
    power = 1e-6
    while True:
        for step in (1.0, 2.0, 5.0):
            if step * power >= value * (1 - 1e-9):
                return float(f"{step * power:.6g}")
        power *= 10

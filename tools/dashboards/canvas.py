"""A figure measured in pixels, and its file kept small. Dashboards' pictures and benches' plots use it. Needs matplotlib."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

DPI = 100
SCALE = 1.1
"""Dots per pixel: letters stay sharp when a page is zoomed."""
COLORS = 256


def new_figure(width: float, height: float, color: str) -> Figure:
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI * SCALE, facecolor=color)


def points(pixels: float) -> float:
    """matplotlib sizes letters and lines in points, 72 to an inch."""
    return pixels * 72 / DPI


def save(figure: Figure, path: Path) -> None:
    """Write a PNG with COLORS colors: a third of the bytes, without a visible difference."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(COLORS, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)

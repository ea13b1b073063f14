"""A figure measured in pixels, and its file kept small. Pictures of dashboards and pages and plots of benches use it. Needs matplotlib."""

from io import BytesIO
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
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()), path)


def save_screenshot(png: bytes, path: Path) -> None:
    """Write a browser's picture as `save` does."""
    _write(Image.open(BytesIO(png)), path)


def _write(picture: Image.Image, path: Path) -> None:
    picture.convert("RGB").quantize(COLORS, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)

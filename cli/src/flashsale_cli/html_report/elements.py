"""HTML as text, with everything that comes from outside escaped. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Html:
    """Text that is HTML already."""

    text: str

    def __str__(self) -> str:
        return self.text


Content = Html | str
VOID = frozenset({"link", "meta", "line", "polyline", "rect"})
"""Elements without contents."""


def element(name: str, /, *contents: Content, **attributes: str | float) -> Html:
    """A trailing underscore of an attribute's name is left out, and others become hyphens: `class_`, `aria_label`."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items())
    return Html(f"<{name}{written}>{joined(contents)}{'' if name in VOID else f'</{name}>'}")


def svg_shape(name: str, /, **attributes: str | float) -> Html:
    """A shape without contents, which SVG closes by a slash."""
    return Html(f"{str(element(name, **attributes))[:-1]}/>")


def joined(contents: Iterable[Content]) -> Html:
    return Html("".join(each.text if isinstance(each, Html) else escape(each) for each in contents))


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Content]]) -> Html:
    """A table that scrolls by itself if it is too wide. The first column, and titles that begin with a blank, contain words."""
    words = [place == 0 or column.startswith(" ") for place, column in enumerate(columns)]
    head = element("tr", *(element("th", column.strip(), scope="col", **_align(left)) for column, left in zip(columns, words, strict=True)))
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", cell, **_align(left)) for cell, left in zip(row[1:], words[1:], strict=True)),
        )
        for row in rows
    ]
    contents = element("table", element("caption", caption), element("thead", head), element("tbody", *body))
    # Whoever uses only the keyboard must be able to scroll it.
    return element("div", contents, class_="wide", tabindex="0", role="region", aria_label=caption)


def _align(left: bool) -> dict[str, str]:
    return {} if left else {"class_": "n"}

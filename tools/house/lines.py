"""Markdown with more than one sentence on a line: `python -m tools.house.lines [PATH...]`; exits with 1 when it finds any.

Tables, lists, headings, quotations and code are left out. A sentence ends with a full stop, a question mark or an exclamation mark, and the
next begins with a capital after one blank.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.house.words import files

_LEFT_OUT = re.compile(r"\s*([|>#]|[-*+] |\d+\. |!?\[)|\s{2,}|$")
_CODE = re.compile(r"`[^`]*`")
_TWO_SENTENCES = re.compile(r"[a-z0-9)`\]\"'*%][.?!][)\"'*]* [\"'(*`]*[A-Z]")
ABBREVIATIONS = ("e.g.", "i.e.", "vs.", "cf.", "No.")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.house.lines", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="files and folders; all of the repository")
    places = [(file, line) for file in files(parser.parse_args().paths) if file.endswith(".md") for line in search(Path(file).read_text())]
    for file, line in places:
        print(f"{file}:{line}: more than one sentence: begin a line with each")
    return int(bool(places))


def search(text: str) -> Iterator[int]:
    """The numbers of the lines that have more than one sentence."""
    in_code = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code and not _LEFT_OUT.match(line) and _TWO_SENTENCES.search(_plain(line)):
            yield number


def _plain(line: str) -> str:
    for abbreviation in ABBREVIATIONS:
        line = line.replace(abbreviation, abbreviation.rstrip("."))
    return _CODE.sub("`x`", line)


if __name__ == "__main__":
    sys.exit(main())

"""Wrong words and phrases, each with the right one: `python -m tools.house.words [PATH...]`; exits with 1 when it finds any.

The glossary in docs/README.md explains the right words. Comments, docstrings, strings, identifiers and Markdown are searched, line by line.
The list is short on purpose: a word stands here only if every use of it is wrong.
"""

import argparse
import ast
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

WORDS = (
    (r"hand-?off", "direct outbox"),
    (r"\bshort[ -]way\b", "fast path"),
    (r"\blong[ -]way\b", "the ASGI path"),
    (r"rescue", "reclaim"),
    (r"dismiss", "prune (consumers)"),
    (r"\bg(ive|ives|ave|iven|iving)([ _]\w+){0,2}[ _]back\b", "release (units), return (a result)"),
    (r"\b(come|comes|came|coming)[ _]home\b", "return, returned"),
    (r"\b(hears?|heard)\b", "receive, received"),
    (r"\breservation window\b|\bhold window\b|\bwait seconds\b", "payment window"),
    (r"\banew\b", "again"),
    (r"\bbeside\b", "compared with, relative to; next to"),
    (r"\baims?\b", "target"),
    (r"\bso many\b", "the number, or what it counts"),
    (r"(?<!times )(?<!twice )\bas many\b", "the same number, up to"),
    (r", too\b(?= *([.;:)\"]|$))", "also, in front of the verb"),
    (r"(?<!there )\b(is|are|was|were) (?-i:none)\b(?! of)", "is not one: say what it is"),
    (r"(^|[.:;!?] |\"\"\" ?|[#|>*-] )(?-i:Of) (?!course\b)", "subject first: `the orders of a sale`"),
)
"""(pattern, what to write instead). Case does not count."""
NAMES = {"found": "a name for what was found", "one": "a name for what it is", "told": "a name for what was reported"}
"""Variables and parameters that say nothing."""
OUTWARD = re.compile(
    r"""\bdismissed\b|handoff\.(failed|left|rescued)|["`]handoff["`]|flashsale_outbox_rescued\w*|(?i:given_back)|x-flashsale-\w+""",
)
"""Names that others depend on (tests/unit/frozen): they keep the old word."""
SUFFIXES = frozenset((".py", ".lua", ".md", ".sql", ".sh", ".yaml", ".tpl", ".txt", ".toml", ".conf", ".env"))
PLAIN_FILES = frozenset(("Makefile", "Dockerfile", ".importlinter"))
SKIPPED = ("tests/unit/frozen/", "tools/house/", "tests/unit/house/", "db/migrations/", "deploy/helm/flashsale/ci/", "tools/bench/results/")
"""Lists of outward names; this list and its tests; migrations, whose hashes installations compare; recorded results."""
QUOTED = (("docs/README.md", "|"),)
"""(file, beginning of the lines that name wrong words on purpose): the glossary's table."""


_HIDDEN = (".ci", ".github")


class Finding(NamedTuple):
    file: str
    line: int
    word: str
    right: str


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.house.words", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="files and folders; all of the repository")
    findings = [finding for file in files(parser.parse_args().paths) for finding in search(file, Path(file).read_text())]
    for file, line, word, right in findings:
        print(f"{file}:{line}: {word.strip()!r} -> {right}")
    for folder, count in sorted(Counter(finding.file.split("/")[0] for finding in findings).items()):
        print(f"{count:5} in {folder}")
    return int(bool(findings))


def files(paths: Iterable[Path]) -> list[str]:
    """The searched files at or below the paths, sorted; without paths, below the current folder."""
    listed = [file for path in list(paths) or [Path()] for file in ([path] if path.is_file() else _walk(path))]
    return sorted(file.as_posix() for file in listed if _is_searched(file))


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below, except in hidden folders, which contain tools and caches; those of CI are included."""
    for path in folder.iterdir():
        if path.is_file():
            yield path
        elif path.is_dir() and (path.name in _HIDDEN or not path.name.startswith((".", "__"))):
            yield from _walk(path)


def search(file: str, text: str) -> Iterator[Finding]:
    """Every wrong word of a file, in the order of its lines."""
    findings = [*_wrong_words(file, text), *(_wrong_names(file, text) if file.endswith(".py") else ())]
    yield from sorted(findings, key=lambda finding: finding.line)


def _is_searched(file: Path) -> bool:
    return (file.suffix in SUFFIXES or file.name in PLAIN_FILES) and not file.as_posix().startswith(SKIPPED)


def _wrong_words(file: str, text: str) -> Iterator[Finding]:
    # Most files have none of them, and one search of a file is much faster than one of each line.
    patterns = [(pattern, right) for pattern, right in _PATTERNS if pattern.search(text)]
    if not patterns:
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if any(file == quoting and line.startswith(beginning) for quoting, beginning in QUOTED):
            continue
        ours = OUTWARD.sub("", line)
        for pattern, right in patterns:
            yield from (Finding(file, number, match[0], right) for match in pattern.finditer(ours))


def _wrong_names(file: str, text: str) -> Iterator[Finding]:
    if not _NAME.search(text):
        return
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Name(id=name, ctx=ast.Store(), lineno=line) | ast.arg(arg=name, lineno=line) if name in NAMES:
                yield Finding(file, line, name, NAMES[name])


_PATTERNS = [(re.compile(pattern, re.IGNORECASE | re.MULTILINE), right) for pattern, right in WORDS]
_NAME = re.compile(rf"\b({'|'.join(NAMES)})\b")


if __name__ == "__main__":
    sys.exit(main())

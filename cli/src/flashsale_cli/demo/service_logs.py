"""Errors in the logs of the services since the demo began."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from flashsale_cli.html_report.document import LogErrors
from flashsale_cli.http_client import parse_json

LEVELS = frozenset({"error", "critical"})
READ_BYTES_MAX = 4_000_000
EXAMPLE_MAX = 300


def sizes(folder: Path) -> dict[str, int]:
    """How long each log is now, by its name; empty if there is no such folder."""
    return {path.stem: path.stat().st_size for path in sorted(folder.glob("*.log"))}


def errors_since(folder: Path, before: Mapping[str, int], services: Iterable[str]) -> list[LogErrors]:
    """The errors that each service has logged since `before`, in the last READ_BYTES_MAX of its log."""
    counted = (_errors(name, _read_from(folder / f"{name}.log", before.get(name, 0))) for name in services)
    return [errors for errors in counted if errors.count]


def _read_from(path: Path, start: int) -> bytes:
    try:
        with path.open("rb") as log:
            log.seek(max(start, path.stat().st_size - READ_BYTES_MAX))
            return log.read(READ_BYTES_MAX)
    except OSError:
        return b""


def _errors(service: str, log: bytes) -> LogErrors:
    lines = [line for line in log.splitlines() if _level(line) in LEVELS]
    example = lines[0].decode(errors="replace") if lines else ""
    return LogErrors(service, len(lines), example if len(example) <= EXAMPLE_MAX else f"{example[:EXAMPLE_MAX]}…")


def _level(line: bytes) -> str:
    """Empty for a line that is not of our logging, such as one of a traceback."""
    document = parse_json(line)
    return str(document.get("level", "")) if isinstance(document, dict) else ""

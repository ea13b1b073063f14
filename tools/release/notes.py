"""The notes of a release: `python3 -m tools.release.notes vX.Y.Z` prints the changelog's section of that version.

The release workflow runs it before it builds anything, so that tag, chart and changelog name the same version,
and the API's baseline is that of the release.
"""

import re
import sys
from pathlib import Path

from tools.repository import CHART, ROOT


def section(changelog: str, version: str) -> str:
    """The text below `## VERSION` or `## VERSION - DATE`. Raises ValueError if it is missing or empty."""
    match = re.search(rf"(?ms)^## \[?{re.escape(version)}\]?(?: - [0-9-]+)?$\n(.*?)(?=^## |\Z)", changelog)
    text = match.group(1).strip() if match else ""
    if not text:
        raise ValueError(f"CHANGELOG.md has no section '## {version} - DATE'; rename 'Unreleased' to it")
    return text


def check_chart(chart: str, version: str) -> None:
    """Raises ValueError unless the chart and its images have this version."""
    for field in ("version", "appVersion"):
        match = re.search(rf"(?m)^{field}: (.*)$", chart)
        if match is None or match.group(1) != version:
            raise ValueError(f"Chart.yaml: {field} must be {version}, the version of the tag")


def check_api(folder: Path) -> None:
    """Raises ValueError unless the API's baseline is that of this release, so that later ones only add to it (decision 0052)."""
    for document in sorted(folder.glob("*.json")):
        released = folder / "released" / document.name
        if not released.exists() or released.read_text() != document.read_text():
            raise ValueError(f"docs/api/released/{document.name} is not that of this version: run python -m tools.docs.openapi --release")


def main() -> None:
    version = sys.argv[1].removeprefix("v")
    try:
        check_chart((CHART / "Chart.yaml").read_text(), version)
        check_api(ROOT / "docs" / "api")
        print(section((ROOT / "CHANGELOG.md").read_text(), version))
    except ValueError as error:
        sys.exit(f"release: {error}")


if __name__ == "__main__":
    main()

"""`python -m tools.docs.client_types`: write the TypeScript types of clients/javascript from docs/api.

With --check it writes nothing and exits with 1 when a file differs from what would be written.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.api.typescript import declarations
from tools.repository import ROOT

FOLDER = ROOT / "clients" / "javascript"
FILES = {"openapi.json": "api.d.ts", "admin.openapi.json": "admin.d.ts", "ledger-api.openapi.json": "ledger-api.d.ts"}


def main() -> int:
    if "--check" in sys.argv:
        return int(any(not file.exists() or file.read_text() != text for file, text in rendered()))
    for file, text in rendered():
        file.write_text(text)
    return 0


def rendered() -> Iterator[tuple[Path, str]]:
    for source, target in FILES.items():
        document = json.loads((ROOT / "docs" / "api" / source).read_text())
        yield FOLDER / target, declarations(document, f"docs/api/{source}")


if __name__ == "__main__":
    sys.exit(main())

"""Write the shortest counterexample of every guard into docs/proof.md: `python -m tests.model.counterexamples`."""

import re
from pathlib import Path

from tests.model.guards import GUARDS, Guard
from tests.model.search import search

PAGE = Path(__file__).parents[2] / "docs" / "proof.md"
BEGIN, END = "<!-- counterexamples: begin -->\n", "<!-- counterexamples: end -->\n"


def section(guard: Guard) -> str:
    """The guard's section of the page. Raises AssertionError if nothing breaks without it."""
    outcome = search(guard.bounds)
    assert outcome.promise, f"nothing breaks without {guard.name}"
    return f"### {guard.name}\n\n{guard.rule}\nWithout it, after {outcome.states:,} states:\n\n```text\n{outcome}\n```\n"


def main() -> None:
    sections = "\n".join(section(guard) for guard in GUARDS)
    text = re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{sections}\n{END}", PAGE.read_text(), flags=re.DOTALL)
    PAGE.write_text(text)


if __name__ == "__main__":
    main()

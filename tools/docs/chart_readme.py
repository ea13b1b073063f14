"""`python -m tools.docs.chart_readme`: write the chart's README from values.yaml.

With --check it writes nothing and exits with 1 when the README differs from what would be written.
A comment `# -- text` above a key is the key's description.
"""

import re
import sys
from collections.abc import Iterator
from typing import Any

import yaml

from tools.repository import CHART

HEAD = """# The flashsale chart

{description}

```
helm install flashsale deploy/helm/flashsale --namespace shop --create-namespace --wait
kubectl apply -n shop -f docs/examples/minimal.yaml
kubectl get -n shop flashsales
```

{notes}

## Values

helm checks the values against `values.schema.json` and refuses an unknown key.

| key | default | meaning |
|---|---|---|
"""


def main() -> int:
    text, readme = render(), CHART / "README.md"
    if "--check" in sys.argv:
        return int(not readme.exists() or readme.read_text() != text)
    readme.write_text(text)
    return 0


def render() -> str:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    notes = (CHART / "notes.md").read_text().strip()
    rows = [f"| `{key}` | `{default}` | {words} |" for key, default, words in described((CHART / "values.yaml").read_text())]
    return HEAD.format(description=chart["description"], notes=notes) + "\n".join(rows) + "\n"


def described(text: str) -> Iterator[tuple[str, str, str]]:
    """(key, default, description) of every key that has one, in the file's order."""
    values, words = yaml.safe_load(text), ""
    path: list[str] = []
    for line in text.splitlines():
        if comment := re.match(r"\s*# -- (.*)", line):
            words = comment[1]
        elif key := re.match(r"( *)([A-Za-z]\w*):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if words:
                yield ".".join(path), _short(_at(values, path)), words.replace("|", "\\|")
            words = ""


def _at(values: Any, path: list[str]) -> Any:
    for name in path:
        values = values[name]
    return values


def _short(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip().removesuffix("\n...")
    return text if len(text) < 60 else text[:57] + "..."


if __name__ == "__main__":
    sys.exit(main())

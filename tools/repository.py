"""Where the tools find what they read and write in the repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "deploy" / "helm" / "flashsale"
DASHBOARDS = CHART / "files" / "dashboards"
RULES = CHART / "files" / "alerts.yaml"
PICTURES = ROOT / "docs" / "pictures"

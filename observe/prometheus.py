"""The real Prometheus and promtool: those on PATH, or those that `scripts/servers.sh test` unpacked."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNPACKED = ROOT / ".bootstrap" / "prometheus" / "usr" / "bin"
RULES = ROOT / "deploy" / "helm" / "flashsale" / "files" / "alerts.yaml"


def binary(name: str) -> str:
    """Raises RuntimeError when it is not installed."""
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found is None:
        raise RuntimeError(f"{name} is not installed; run `make test`, or scripts/servers.sh test")
    return found


def promtool(*words: object) -> tuple[int, str]:
    """(exit status, all it said)"""
    command = [binary("promtool"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr

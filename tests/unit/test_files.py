"""Files that other programs read, checked against the schemas of those programs."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ADMIN_KEYS = ROOT / "libs/core/src/flashsale_core/admin_keys.py"
CRD = ROOT / "deploy" / "helm" / "flashsale" / "files" / "flashsales.flashsale.dev.yaml"
COMPOSE = ROOT / "deploy" / "compose"
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.yaml"))


def test_skaffold_file_is_valid_by_the_published_schema() -> None:
    schema = json.loads((ROOT / "tests" / "chart" / "schemas" / "skaffold-v4beta11.json").read_text())
    document = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document | {"deploy": {"helm": {"releases": [{"chart": "x"}]}}}, schema)


def test_skaffold_sets_every_image_and_its_dockerfiles_exist() -> None:
    document = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    artifacts = document["build"]["artifacts"]
    assert all((ROOT / artifact["docker"]["dockerfile"]).is_file() for artifact in artifacts)
    values = yaml.safe_load((ROOT / "deploy" / "helm" / "flashsale" / "values.yaml").read_text())
    ours = {
        name
        for name, part in values.items()
        if isinstance(part, dict) and str(part.get("image", {}).get("repository")).startswith("flashsale/")
    }
    (release,) = document["deploy"]["helm"]["releases"]
    assert {name.split(".")[0] for name in release["setValueTemplates"]} == ours
    assert {artifact["image"] for artifact in artifacts} == {values[name]["image"]["repository"] for name in ours}


def test_workflows_are_valid() -> None:
    files = sorted(map(str, (ROOT / ".github" / "workflows").glob("*.yaml")))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_script_pipes_into_a_command_that_stops_reading() -> None:
    """`grep -q` ends at the first match, the command before it dies of SIGPIPE, and under pipefail a match then counts as none."""
    files = [*(ROOT / "scripts").glob("*.sh"), *(ROOT / "deploy" / "compose").glob("*.sh"), ROOT / ".ci" / "run", ROOT / "Makefile"]
    stops = re.compile(r"(?<!\|)\|\s*(grep\s+(-\S+\s+)*-\w*[qm]|head\b)")
    lines = [(file.name, line) for file in files for line in file.read_text().splitlines() if stops.search(line)]
    assert len(files) > 10
    assert lines == []
    assert stops.search("apt-cache policy x | grep -q y")


@pytest.mark.parametrize("file", EXAMPLES, ids=[path.name for path in EXAMPLES])
def test_examples_are_flashsales(file: Path) -> None:
    """Each example matches the CRD's schema, without unknown fields. The e2e suite tests the CEL rules on a real apiserver."""
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    spec: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    document = yaml.safe_load(file.read_text())
    jsonschema.validate(document["spec"], spec | {"additionalProperties": False})
    assert (document["apiVersion"], document["kind"]) == ("flashsale.dev/v1alpha1", "FlashSale")


def test_example_quota_counts_flashsales() -> None:
    quota = yaml.safe_load((ROOT / "docs" / "examples" / "tenant" / "quota.yaml").read_text())
    assert list(quota["spec"]["hard"]) == [f"count/{yaml.safe_load(CRD.read_text())['metadata']['name']}"]


def test_readme_of_the_chart_matches_its_values() -> None:
    command = [sys.executable, "-m", "tools.docs.chart_readme", "--check"]
    assert subprocess.run(command, cwd=ROOT, timeout=30, check=False).returncode == 0, "run: .venv/bin/python -m tools.docs.chart_readme"


def test_compose_file_is_valid() -> None:
    file = str(ROOT / "deploy" / "compose" / "compose.yaml")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_sets_the_required_variables_of_each_service() -> None:
    services = yaml.safe_load((ROOT / "deploy" / "compose" / "compose.yaml").read_text())["services"]
    for name in ("gateway", "order-worker", "timeout-worker", "keeper", "ledger-api", "notifier", "console"):
        folder = ROOT / "services" / name / "src" / f"flashsale_{name.replace('-', '_')}"
        source = (folder / "settings.py").read_text()
        read = "".join(file.read_text() for file in (folder / "settings.py", *folder.glob("identity_settings.py"), ADMIN_KEYS))
        given = set(services[name]["environment"])
        assert set(re.findall(r'env\.text\("([A-Z0-9_]+)"\)', source)) <= given <= set(re.findall(r'"([A-Z][A-Z0-9_]+)"', read))


def test_every_alert_has_a_runbook_page() -> None:
    alerts = re.findall(r"- alert: (\w+)", (ROOT / "deploy" / "helm" / "flashsale" / "files" / "alerts.yaml").read_text())
    pages = {path.stem: path.read_text().splitlines()[0] for path in (ROOT / "docs" / "runbook").glob("*.md")}
    assert pages == {re.sub(r"(?<!^)([A-Z])", r"-\1", alert).lower(): f"# {alert}" for alert in alerts}


def test_compose_file_uses_the_settings_of_its_example_by_the_common_syntax() -> None:
    """`${NAME:+...}` and an empty default are not in every implementation of compose: one of them passed the text on as the value."""
    text = (COMPOSE / "compose.yaml").read_text()
    required, with_default = set(re.findall(r"\$\{(\w+)(?::\?[^${}]+)?\}", text)), set(re.findall(r"\$\{(\w+):-[^${}]+\}", text))
    assert set(re.findall(r"\$\{?(\w+)", text)) == required | with_default
    assert required == set(re.findall(r"^(\w+)=", (COMPOSE / "example.env").read_text(), re.MULTILINE))
    assert not required & with_default

"""What every workflow must keep, by the rules of zizmor and of GitHub's hardening guide, because no workflow runs on this machine."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*")
LOCAL = re.compile(r"\./\.github/workflows/[\w-]+\.yaml")
STRANGERS = {"pull_request_target", "workflow_run", "issue_comment", "issues"}
"""Events by which a stranger's text or code meets the repository's own token."""
WRITES = {
    ("base-images.yaml", "renew"): {"contents", "pull-requests"},
    ("release.yaml", "build"): {"packages"},
    ("release.yaml", "publish"): {"packages", "id-token", "attestations"},
    ("release.yaml", "chart"): {"packages", "id-token", "attestations"},
    ("release.yaml", "release"): {"contents"},
}
"""Every right to write, by job. A new one is a decision."""

pytestmark = pytest.mark.parametrize("file", WORKFLOWS, ids=[path.name for path in WORKFLOWS])


def workflow(file: Path) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    document = {"on" if key is True else key: value for key, value in yaml.safe_load(file.read_text()).items()}
    if isinstance(document["on"], str):
        document["on"] = {document["on"]: None}
    return document


def steps(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in workflow(file)["jobs"].items():
        for step in job.get("steps", []):
            yield name, step


def test_every_action_is_pinned_by_commit_with_its_version(file: Path) -> None:
    used = re.findall(r"(?m)^\s*(?:- )?uses: (.+)$", file.read_text())
    assert used
    assert [name for name in used if not PINNED.fullmatch(name) and not LOCAL.fullmatch(name)] == []


def test_one_action_has_one_version_in_all_workflows(file: Path) -> None:
    everywhere = set(re.findall(r"uses: (\S+@\S+)", "".join(path.read_text() for path in WORKFLOWS)))
    for name in set(re.findall(r"uses: (\S+)@", file.read_text())):
        assert len([each for each in everywhere if each.startswith(name + "@")]) == 1, name


def test_rights_are_declared_and_least(file: Path) -> None:
    document = workflow(file)
    assert document["permissions"] in ({}, {"contents": "read"})
    for name, job in document["jobs"].items():
        rights = job.get("permissions", document["permissions"])
        assert isinstance(rights, dict), name
        assert {right for right, access in rights.items() if access != "read"} == WRITES.get((file.name, name), set()), name


def test_no_event_lets_strangers_use_the_token(file: Path) -> None:
    assert not STRANGERS & workflow(file)["on"].keys()


def test_no_expression_is_pasted_into_a_script(file: Path) -> None:
    """A tag or branch may be named like a command; a variable of the environment is never read as one."""
    assert [step["run"] for _, step in steps(file) if "${{" in step.get("run", "")] == []


def test_checkout_leaves_no_token_behind(file: Path) -> None:
    for name, step in steps(file):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, name


def test_every_job_has_a_time_limit(file: Path) -> None:
    assert [name for name, job in workflow(file)["jobs"].items() if "uses" not in job and "timeout-minutes" not in job] == []


def test_a_release_is_never_cancelled_half_way(file: Path) -> None:
    assert workflow(file)["concurrency"]["cancel-in-progress"] is (file.name == "ci.yaml")

"""The programs of the release workflow: notes, base image, and the chart's pins."""

import re
from pathlib import Path

import pytest
import yaml

from tools.release.base_images import LOCK, base_image, locked
from tools.release.notes import check_api, check_chart, section
from tools.release.pin import pinned
from tools.repository import CHART

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILES = [*sorted(ROOT.glob("services/*/Dockerfile")), ROOT / "cli" / "Dockerfile"]
SERVICES = ("gateway", "order-worker", "timeout-worker", "keeper", "ledger-api", "notifier", "console", "storefront", "operator", "cli")
DIGEST = "sha256:" + "ab" * 32
RELEASE = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yaml").read_text())
CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-12-01\n\n### Added\n\n- A thing.\n\n## 0.1.0 - 2026-11-01\n\n- First.\n"


def test_notes_are_the_section_of_the_version() -> None:
    assert section(CHANGELOG, "0.2.0") == "### Added\n\n- A thing."
    assert section(CHANGELOG, "0.1.0") == "- First."


@pytest.mark.parametrize("version", ["0.3.0", "0.2", "Unreleased", "0.2.0.1"])
def test_version_without_notes_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="has no section"):
        section(CHANGELOG, version)


@pytest.mark.parametrize("field", ["version", "appVersion"])
def test_chart_of_another_version_is_refused(field: str) -> None:
    chart = "version: 0.2.0\nappVersion: 0.2.0\n"
    check_chart(chart, "0.2.0")
    with pytest.raises(ValueError, match=f"{field} must be 0.2.0"):
        check_chart(re.sub(rf"(?m)^{field}: .*", f"{field}: 0.1.9", chart), "0.2.0")


def test_release_without_its_baseline_of_the_api_is_refused(tmp_path: Path) -> None:
    (tmp_path / "released").mkdir()
    (tmp_path / "openapi.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tools\.docs\.openapi --release"):
        check_api(tmp_path)
    (tmp_path / "released" / "openapi.json").write_text("{}")
    check_api(tmp_path)


def test_every_dockerfile_is_built_on_the_locked_base_image() -> None:
    texts = [file.read_text() for file in DOCKERFILES]
    assert re.fullmatch(r"python:3\.\d+-slim@sha256:[0-9a-f]{64}", base_image(texts, LOCK.read_text()))
    # No stage is built on anything else.
    assert {line for text in texts for line in re.findall(r"(?m)^FROM (\S+)", text)} == {"${PYTHON_IMAGE}"}


def test_lock_without_a_digest_or_without_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="has no digest"):
        locked("python:3.13-slim sha256:1234\n")
    for lock, images in ((f"python:3.12-slim {DIGEST}\n", ["python:3.13-slim"]), (f"a:1 {DIGEST}\n", ["a:1", "b:1"])):
        with pytest.raises(ValueError, match="the one base image"):
            base_image([f"ARG PYTHON_IMAGE={image}\n" for image in images], lock)


def test_released_chart_names_registry_and_digests() -> None:
    values = (CHART / "values.yaml").read_text()
    before = yaml.safe_load(values)
    after = yaml.safe_load(pinned(values, "ghcr.io/mine", dict.fromkeys(SERVICES, DIGEST)))
    assert after["image"]["registry"] == "ghcr.io/mine"
    changed = {name: part["image"] for name, part in after.items() if name != "image" and part != before[name]}
    assert {image["repository"] for image in changed.values()} == {f"flashsale/{service}" for service in SERVICES}
    assert {image["digest"] for image in changed.values()} == {DIGEST}
    # A changed server's image would restart it during an upgrade.
    assert all(after[name] == before[name] for name in ("redis", "rabbitmq", "postgresql"))


@pytest.mark.parametrize("digests", [{}, dict.fromkeys(SERVICES[:-1], DIGEST), dict.fromkeys(SERVICES, "latest")])
def test_incomplete_digests_are_refused(digests: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="the chart has the images"):
        pinned((CHART / "values.yaml").read_text(), "ghcr.io/mine", digests)


def test_default_registry_belongs_to_nobody() -> None:
    """Without a registry, an image comes from the public one, under a name that a stranger could take. RFC 2606 reserves `.invalid`."""
    assert yaml.safe_load((CHART / "values.yaml").read_text())["image"]["registry"] == "registry.invalid"


@pytest.mark.parametrize("job", ["build", "publish"])
def test_workflow_releases_every_image_of_the_chart(job: str) -> None:
    assert tuple(RELEASE["jobs"][job]["strategy"]["matrix"]["service"]) == SERVICES


def test_nothing_gets_a_version_before_it_was_tested_and_scanned() -> None:
    """Only the job `publish` gives tags; it waits for all builds, each of which fails on a critical vulnerability with a fix."""
    jobs = RELEASE["jobs"]
    assert {
        name: set(job.get("needs", "").split() if isinstance(job.get("needs", ""), str) else job["needs"]) for name, job in jobs.items()
    } == {
        "check": set(),
        "test": {"check"},
        "build": {"check", "test"},
        "publish": {"check", "build"},
        "chart": {"check", "publish"},
        "release": {"chart"},
    }
    (scan,) = [step["with"] for step in jobs["build"]["steps"] if step.get("uses", "").startswith("anchore/scan-action@")]
    assert (scan["severity-cutoff"], scan["only-fixed"], scan["fail-build"]) == ("critical", True, True)
    (build,) = [step["with"] for step in jobs["build"]["steps"] if step.get("uses", "").startswith("docker/build-push-action@")]
    assert "push-by-digest=true" in build["outputs"]
    assert "tags" not in build
    assert (build["sbom"], build["provenance"]) == (True, "mode=max")

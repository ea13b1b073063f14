"""The papers of the repository: its licence, and the links and file names in its documents."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(path for pattern in ("*.md", "[!.]*/**/*.md") for path in ROOT.glob(pattern))
RUNBOOK = sorted((ROOT / "docs" / "runbook").glob("*.md"))
STARTED_BY_BENCHES = ["tools.bench.bare_endpoints", "tools.bench.span_receiver"]
LICENSE = "Apache-2.0"
LICENSE_SHA256 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def files(name: str) -> list[str]:
    """Paths of the files called `name` at the root and in the rooms below it, relative to the root."""
    paths = (path for pattern in ("", "[!.]*/", "[!.]*/[!.]*/") for path in ROOT.glob(pattern + name))
    return sorted(str(path.relative_to(ROOT)) for path in paths)


def test_license_file_is_the_unchanged_text() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == LICENSE_SHA256


@pytest.mark.parametrize("file", files("pyproject.toml"))
def test_every_distribution_names_the_license(file: str) -> None:
    assert tomllib.loads((ROOT / file).read_text())["project"]["license"] == LICENSE


@pytest.mark.parametrize("file", files("Dockerfile"))
def test_every_image_is_labelled_with_the_license(file: str) -> None:
    assert f'org.opencontainers.image.licenses="{LICENSE}"' in (ROOT / file).read_text()


def test_chart_is_annotated_with_the_license() -> None:
    chart = yaml.safe_load((ROOT / "deploy" / "helm" / "flashsale" / "Chart.yaml").read_text())
    assert chart["annotations"]["artifacthub.io/license"] == LICENSE


def test_readme_names_the_license() -> None:
    assert f"[{LICENSE}](LICENSE)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    inside = [link.partition("#") for link in links if not re.match(r"https?://", link)]
    broken = {path + mark + anchor for path, mark, anchor in inside if not _leads_somewhere(document, path, anchor)}
    assert not broken


def test_every_bench_with_a_command_is_in_a_document() -> None:
    """`make` runs some of them under another name."""
    documents = "\n".join(path.read_text() for path in (*DOCUMENTS, ROOT / "Makefile"))
    heads = [file.read_text().partition("\n")[0] for file in sorted((ROOT / "tools" / "bench").glob("*.py"))]
    commands = [match[1] for head in heads if (match := re.match(r'"""`python -m (tools\.bench\.\w+)', head))]
    assert len(commands) > 1
    assert [command for command in commands if not re.search(rf"{re.escape(command)}\b", documents)] == STARTED_BY_BENCHES


def test_file_names_of_the_order_path_are_those_of_the_code() -> None:
    """A link's text is the end of the path that it leads to."""
    links = re.findall(r"\[([^\]]+\.(?:py|lua|sql))\]\(([^)]+)\)", (ROOT / "docs" / "README.md").read_text())
    assert links
    assert [text for text, path in links if not path.endswith(text)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_every_file_and_module_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    names = set(re.findall(r"`([\w./-]+\.(?:py|lua|sql|sh|yaml|tpl))`", text))
    names |= {module.replace(".", "/") + ".py" for module in re.findall(r"python -m ((?:tools|tests)\.[\w.]+)", text)}
    paths = {f"/{path.relative_to(ROOT)}" for path in ROOT.glob("[!.]*/**/*") if path.suffix}
    paths |= {f"/{path.parent.relative_to(ROOT)}.py" for path in ROOT.glob("[!.]*/**/__main__.py")}
    assert {name for name in names if not any(path.endswith(f"/{name}") for path in paths)} == set()


def test_transcript_of_the_demo_has_the_promises_of_the_command() -> None:
    source = "".join(path.read_text() for folder in ("cli/src", "libs/audit/src") for path in (ROOT / folder).rglob("*.py"))
    promises = re.findall(r"^(\S.*?) {2,}PASS", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert promises
    assert [promise for promise in promises if f'"{promise}"' not in source] == []


def test_panels_that_the_runbook_names_are_on_a_dashboard() -> None:
    dashboards = (ROOT / "deploy" / "helm" / "flashsale" / "files" / "dashboards").glob("*.json")
    titles = set(re.findall(r'"title": "([^"]+)"', "".join(path.read_text() for path in dashboards)))
    named = {title for page in RUNBOOK for title in re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", page.read_text())}
    assert named
    assert named - titles == set()


def test_every_make_target_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for document in DOCUMENTS for target in re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), re.MULTILINE)}
    assert named - targets == set()


def _leads_somewhere(document: Path, path: str, anchor: str) -> bool:
    target = (document.parent / path).resolve() if path else document
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}

"""The pages for people say nothing that the code does not know."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.api.meta import ApiModel
from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.api.v1alpha1.model import Model
from tidegate.api.v1alpha1.training_job import TrainingJob

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "operator" / "tidegate"
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("charts/*/*.md")]
KINDS: dict[str, type[ApiModel]] = {
    "Model": Model,
    "TrainingJob": TrainingJob,
    "DriftPolicy": DriftPolicy,
}
EXAMPLES = [
    pytest.param(example, id=f"{page.stem}-{example['kind']}")
    for page in PAGES
    for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    for example in yaml.safe_load_all(block)
    if example.get("kind") in KINDS
]


def test_the_page_of_metrics_lists_each_of_them() -> None:
    sources = ("controllers/metrics.py", "sidecar/monitor/metrics.py")
    known = {
        name.removesuffix("_total")
        for source in sources
        for name in re.findall(r'"(tidegate_\w+)"', (PACKAGE / source).read_text())
    }
    page = (ROOT / "docs/metrics.md").read_text()
    assert {name.removesuffix("_total") for name in re.findall(r"tidegate_\w+", page)} - {
        "tidegate_"
    } == known


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_what_the_types_take(example: dict[str, Any]) -> None:
    read = KINDS[example["kind"]].model_validate(example).to_api()
    assert list(_unknown(example["spec"], read["spec"], "spec")) == []


def _unknown(written: Any, read: Any, path: str) -> Iterator[str]:
    """The fields that nobody has read."""
    if isinstance(written, dict):
        for name, value in written.items():
            if name in read:
                yield from _unknown(value, read[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    if isinstance(written, list):
        for value, known in zip(written, read, strict=True):
            yield from _unknown(value, known, path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if not _exists(page, *link.partition("#")[::2])] == []


def _exists(page: Path, path: str, anchor: str) -> bool:
    target = page.parent / path if path else page
    if not target.exists():
        return False
    return not anchor or anchor in {_anchor(h) for h in _headings(target.read_text())}


def _headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.*)", text, re.MULTILINE)


def _anchor(heading: str) -> str:
    """What a heading is called in a link."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")

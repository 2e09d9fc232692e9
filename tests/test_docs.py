"""Guides and examples: every block runs, every link leads somewhere."""

import re
import runpy
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("single")

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def links(text):
    """Relative targets, without anchors; what stands in a block of code is no link."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", prose)


def dead_links(page):
    return [target for target in links(page.read_text("utf-8")) if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "README"], ids=lambda page: page.stem)
def test_every_block_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks
    namespace = {"__name__": f"docs_{page.stem.replace('-', '_')}"}
    monkeypatch.setitem(sys.modules, namespace["__name__"], type(sys)(namespace["__name__"]))
    for block in blocks:
        exec(compile(block, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[a](page.md#top) [b](gone.md) [c](https://x.org) [d](#here) `[e](code.md)`\n```\n[f](g.md)\n```\n")
    assert dead_links(page) == ["gone.md"]


def test_the_entrance_leads_to_every_page_and_example():
    inside = {path.name for path in (*PAGES, *EXAMPLES)} - {"README.md"}
    assert inside <= {Path(target).name for target in links((ROOT / "docs" / "README.md").read_text("utf-8"))}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_every_example_runs(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [example.name, "--steps", "2"])
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out

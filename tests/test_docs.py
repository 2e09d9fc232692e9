"""Guides and examples: every block runs, every link leads somewhere."""

import re
import runpy
import sys
from pathlib import Path

import pytest

import coset
from coset.discovery import class_names
from coset.training import fit

pytestmark = pytest.mark.usefixtures("single")

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TUTORIALS = [page for page in PAGES if page.parent.name == "tutorials"]
MODELS = [page for page in PAGES if page.parent.name == "models"]
GUIDES = [page for page in PAGES if page not in TUTORIALS and page.stem not in ("README", "index", "results")]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def links(text):
    """Relative targets, without anchors; what stands in a block of code is no link."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", prose)


def dead_links(page):
    return [target for target in links(page.read_text("utf-8")) if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
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


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_every_cell_of_a_tutorial_runs(page, tmp_path, monkeypatch):
    """With two steps of training; `make docs` runs them whole."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("coset.distributions.interaction.STEPS", 20)
    monkeypatch.setattr(coset, "fit", lambda *args, **options: fit(*args, **options | {"steps": 2}), raising=False)
    cells = re.findall(r"^```\{code-cell\} python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert cells and cells[0].startswith("%matplotlib inline\n")
    namespace = {"__name__": f"tutorials_{page.stem.replace('-', '_')}"}
    monkeypatch.setitem(sys.modules, namespace["__name__"], type(sys)(namespace["__name__"]))
    for cell in cells:
        exec(compile(cell.removeprefix("%matplotlib inline\n"), str(page), "exec"), namespace)


@pytest.mark.parametrize("page", MODELS, ids=lambda page: page.stem)
def test_every_model_has_a_page_that_says_what_it_is_and_where_it_fails(page):
    headings = re.findall(r"^## (.*)$", page.read_text("utf-8"), re.MULTILINE)
    wanted = ["Generative process", "The bound", "When to use it", "Limitations"]
    assert [each for each in headings if each in wanted] == wanted


def test_every_model_has_a_page():
    said = "\n".join(page.read_text("utf-8") for page in MODELS)
    assert [name for name in class_names("coset.models", base="Model") if f"coset.{name}" not in said] == []


def test_the_site_has_every_page():
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    listed = set(re.findall(r"^[a-z/0-9-]+$", index, re.MULTILINE))
    pages = {page.relative_to(ROOT / "docs").with_suffix("").as_posix() for page in PAGES}
    assert pages - {"README", "index"} == listed - {"api/index"}


def test_the_entrance_leads_to_every_page_and_example():
    inside = {path.name for path in (*PAGES, *EXAMPLES)} - {"README.md", "index.md", "results.md"}
    assert inside <= {Path(target).name for target in links((ROOT / "docs" / "README.md").read_text("utf-8"))}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_every_example_runs(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [example.name, "--steps", "2"])
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out

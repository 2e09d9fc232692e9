"""The order of the house: imports only descend, never in a circle; no source names a machine or a chore."""

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "coset"

# From the ground up. A part imports itself and what stands on earlier lines; parts on one line don't import
# each other.
STOREYS = (
    ("errors",),
    ("arguments",),
    ("writing",),
    ("discovery",),
    ("shapes",),
    ("drawing",),
    ("codes",),
    ("cells",),
    ("batch",),
    ("distributions",),
    ("sites",),
    ("enumeration",),
    ("trace",),
    ("programs",),
    ("networks", "objectives", "queries"),
    ("models", "data"),
    ("metrics", "plots", "datasets"),
    ("training",),
    ("recipes",),
    ("runs",),
    ("sharing",),
    ("experiments", "exploring"),
    ("console",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
FORBIDDEN = {("models", "objectives")}  # although it would descend: a model doesn't know how it is scored

CHORES = re.compile(r"\b(?:TO[D]O|FIX[M]E|raise\s+NotImplemente[d]Error|pytest\.(?:mark\.)?ski[p]\w*)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.:~/-])/(?:roo[t]|hom[e]|User[s]|tm[p]|wor[k])\b")


def allowed(part: str) -> list[str]:
    """The parts that a part may import, itself not counted."""
    storey = next(index for index, parts in enumerate(STOREYS) if part in parts)
    return [below for parts in STOREYS[:storey] for below in parts if (part, below) not in FORBIDDEN]


def module_name(path: str) -> str:
    """Turn `networks/mlp.py` into `coset.networks.mlp`, and `networks/__init__.py` into `coset.networks`."""
    return ".".join(["coset", *Path(path).with_suffix("").parts]).removesuffix(".__init__")


def imports(path: str, source: str) -> Iterator[tuple[int, str, str | None]]:
    """Each import of a module wherever it stands: its line, the module, and the name taken from it if any."""
    package = module_name(path).split(".")
    if not path.endswith("__init__.py"):
        package.pop()
    for node in ast.walk(ast.parse(source, filename=path)):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    # `import coset.trace` binds the name `coset`; `import coset.trace as trace` does not
                    binds = alias.asname is None and alias.name.split(".")[0] == "coset"
                    yield node.lineno, "coset" if binds else alias.name, None
            case ast.ImportFrom(module=module, names=names, level=level):
                above = package[: len(package) - level + 1] if level else []
                origin = ".".join([*above, *filter(None, [module])])
                for alias in names:
                    yield node.lineno, origin, alias.name
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name, None


def violations(sources: Mapping[str, str]) -> list[str]:
    """Check modules, given as path below src/coset → source, and describe all that is out of order."""
    modules = {module_name(path) for path in sources}
    graph: dict[str, set[str]] = {module: set() for module in modules}
    found = []
    for path, source in sorted(sources.items()):
        if path == "__init__.py":  # the front door, which opens onto every room
            continue
        module = module_name(path)
        part = module.split(".")[1]
        if not any(part in parts for parts in STOREYS):
            found.append(f"src/coset/{path}: {part!r} has no place in the import order, see STOREYS")
            continue
        for line, origin, name in imports(path, source):
            here = f"src/coset/{path}:{line}"
            if origin == "coset":
                found.append(f"{here}: imports coset itself; write `from coset.<module> import …`")
            if not origin.startswith("coset."):
                continue
            target = f"{origin}.{name}" if f"{origin}.{name}" in modules else origin
            graph[module].add(target)
            other = target.split(".")[1]
            if other != part and other not in allowed(part):
                below = ", ".join(allowed(part)) or "nothing"
                found.append(f"{here}: {part} imports {other}, but of coset it may import only: {below}")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append("modules import each other in a circle: " + " ← ".join(error.args[1]))
    return found


def written_files() -> list[Path]:
    """Everything that people write: folders by name, so that no environment and no run slips in."""
    folders = ("src", "tests", "benchmarks", "examples", "docs", "results", ".ci")
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*"))]
    paths += [path for path in sorted(ROOT.iterdir()) if not path.name.startswith(".git")]
    binary = {".gz", ".jpg", ".npy", ".npz", ".pdf", ".png", ".pt", ".pyc", ".safetensors"}
    return [path for path in paths if path.is_file() and path.suffix not in binary]


def test_imports_only_descend():
    sources = {str(path.relative_to(PACKAGE)): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    assert sources, f"no modules under {PACKAGE}"
    found = violations(sources)
    assert not found, "\n".join(["the import order is broken:", *found])


@pytest.mark.parametrize(
    ("path", "source", "message"),
    [
        ("shapes.py", "from coset.trace import Trace", "shapes.py:1: shapes imports trace"),
        ("errors.py", "def f():\n    from coset.shapes import check", "errors.py:2: errors imports shapes"),
        ("models/vae.py", "from coset.objectives import elbo", "models imports objectives"),
        ("models/vae.py", "from coset.data.batch import SetBatch", "models imports data"),
        ("models/vae.py", "from ..data.batch import SetBatch", "models imports data"),
        ("data/table.py", "from coset.models.vae import VAE", "data imports models"),
        ("networks/mlp.py", "import coset.objectives.elbo as elbo", "networks imports objectives"),
        ("objectives/elbo.py", "import importlib\nimportlib.import_module('coset.plots')", "elbo.py:2: obj"),
        ("recipes/__init__.py", "from coset.cli import main", "recipes imports cli"),
        ("trace.py", "import coset", "imports coset itself"),
        ("trace.py", "import coset.errors", "imports coset itself"),
        ("trace.py", "from coset import errors", "imports coset itself"),
        ("trace.py", "from . import errors", "imports coset itself"),
        ("utils.py", "", "'utils' has no place"),
    ],
)
def test_planted_violation_is_found(path, source, message):
    (found,) = violations({path: source})
    assert message in found


def test_planted_circle_is_found():
    circle = {
        "networks/__init__.py": "from coset.networks.mlp import MLP",
        "networks/mlp.py": "from coset.networks import heads",
        "networks/heads.py": "def f():\n    from .mlp import MLP",
    }
    (found,) = violations(circle)
    assert "circle" in found
    assert "coset.networks.heads" in found


def test_orderly_imports_pass():
    orderly = {
        "__init__.py": "import coset.cli\nfrom coset import cli",
        "errors.py": "import re",
        "models/vae.py": "import torch\nfrom coset.models import base\nfrom coset.networks.mlp import MLP",
        "models/base.py": "from coset.trace import Trace\nimport coset.errors as errors\nimport cosetta",
        "cli.py": "from coset.experiments import tables\nfrom coset.objectives import elbo",
    }
    assert violations(orderly) == []


def test_sources_name_no_machine_and_no_chore():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in written_files()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1)
        for match in (*CHORES.finditer(line), *MACHINE_PATHS.finditer(line))
    ]
    assert not found, "\n".join(["machine paths, or work left undone, in what is committed:", *found])


# Words are put together here, or the search through all files would find the ones that it is tested with.
@pytest.mark.parametrize(
    "word", ["TO" + "DO", "FIX" + "ME", "pytest." + "skip", "pytest.mark." + "skipif", "raise " + "NotImplementedError"]
)
def test_planted_chore_is_found(word):
    assert CHORES.search(f"x = 1  # {word}: mend")


@pytest.mark.parametrize("path", ["/ro" + "ot/x", "'/tm" + "p/x.pt'", "cd /wo" + "rk", "/ho" + "me/me/data"])
def test_planted_machine_path_is_found(path):
    assert MACHINE_PATHS.search(path)


def test_citation_names_the_version():
    version = re.search(r'^__version__ = "(.+)"$', (PACKAGE / "__init__.py").read_text("utf-8"), re.MULTILINE)
    assert version, "src/coset/__init__.py should say: __version__ = …"
    assert f"\nversion: {version.group(1)}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_the_map_names_every_part_and_no_other():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    drawn = text.partition("src/coset/\n")[2].partition("tests/")[0]
    parts = set(re.findall(r"^  (\w+(?:\.py|/))", drawn, re.MULTILINE))
    there = {path.name + "/" for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    there |= {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}
    assert parts == there


def test_the_import_order_that_is_drawn_is_the_one_that_is_tested():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    drawn = re.sub(r"\s+", " ", text.partition("## Imports only descend")[2].split("```")[1]).strip()
    storeys = [
        "{" + ", ".join(parts) + "}" if len(parts) > 1 else parts[0] for parts in STOREYS if parts != ("__main__",)
    ]
    assert drawn == " < ".join(storeys)

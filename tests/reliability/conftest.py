"""What the tests of bad input share: a tiny training, and a command that has to fail."""

import pytest

from coset.cli import main

TINY = ["--model.features", "8", "--model.hidden", "8", "--model.context_dim", "2", "--model.z_dim", "2"]
TINY += ["--sets.batches", "2", "--sets.batch", "4", "--sets.items", "3", "--trainer.max_epochs", "1"]
TINY += ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]


@pytest.fixture(scope="session")
def tiny():
    """Options that make a training of the demo's recipe last a moment."""
    return TINY


@pytest.fixture
def refused(capsys):
    """Run a command that has to fail, and return what it says."""

    def run(arguments):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        out, err = capsys.readouterr()
        assert left.value.code == 2, err
        assert "Traceback" not in err
        assert not out
        return err

    return run


@pytest.fixture
def one_line(refused):
    """The same, of a command that says one line."""

    def run(arguments):
        said = refused(arguments)
        assert len(said.strip().splitlines()) == 1, said
        return said

    return run

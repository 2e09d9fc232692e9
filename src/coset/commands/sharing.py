"""The command that shares a run."""

from pathlib import Path


def push(run: Path, repository: str, license: str | None = None, private: bool = False) -> None:
    """Upload a run's model to the Hugging Face Hub, with a card that says what it is and where it fails.

    Args:
        run: folder of a run.
        repository: user/name; made if it is not there.
        license: as the Hub calls it, such as apache-2.0; the card claims none where none is given.
        private: make a new repository private.
    """
    from coset.runs import open_run
    from coset.sharing import push as upload

    print(upload(open_run(run), repository, license, private))

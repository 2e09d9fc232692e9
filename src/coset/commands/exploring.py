"""The command that shows a trained run to people who would rather look."""

from pathlib import Path

from coset.errors import ConfigurationError


def explore(run: Path, html: Path | None = None, host: str = "127.0.0.1", port: int = 7860, seed: int = 0) -> None:
    """Look at a trained run in a web browser: compose, upload sets, walk through the map of codes.

    Without --html a page is served on this machine until you stop it, which takes the extra coset[explore].

    Args:
        run: folder of a run.
        html: write one self-contained file instead, to send to a colleague: the grid of combinations with its holes,
            the map of codes, and what the directions do.
        host: address that is served; other machines reach the page only if this is theirs to reach, such as 0.0.0.0.
        port: the same.
        seed: of sets and draws.

    Raises:
        ConfigurationError: Gradio is not installed, or what is drawn is neither pictures nor vectors.
    """
    from coset.exploring.views import Exploration
    from coset.runs import open_run

    views = Exploration(open_run(run), seed)
    if html is not None:
        from coset.exploring.page import write_page

        print(write_page(views, html))
        return
    try:
        from coset.exploring.app import serve
    except ModuleNotFoundError as reason:
        raise ConfigurationError(
            f"serving a page takes {reason.name}, which is not installed: pip install 'coset[explore]'; or write one "
            "that needs no server, with --html page.html"
        ) from reason
    serve(views, host, port)

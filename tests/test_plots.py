import io

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread

from coset import plots
from coset.errors import ShapeError

pytestmark = pytest.mark.usefixtures("single")


def drawn(figure):
    """What a figure looks like, as numbers."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=60)
    buffer.seek(0)
    picture = imread(buffer)
    assert picture[..., :3].std() > 0.01, "an empty figure"
    return picture


def tiles(axes):
    (image,) = axes.images
    return torch.as_tensor(image.get_array())


def test_grid_shows_each_image_in_its_place():
    images = torch.rand(2, 3, 28, 20)
    figure = plots.grid(images, title="three by two")
    drawn(figure)
    (axes,) = figure.axes
    canvas = tiles(axes)
    assert canvas.shape == (2 * 30 - 2, 3 * 22 - 2, 3)
    for row in range(2):
        for column in range(3):
            tile = canvas[30 * row : 30 * row + 28, 22 * column : 22 * column + 20]
            assert torch.equal(tile, images[row, column, ..., None].expand(-1, -1, 3))
    assert axes.get_title() == "three by two"


def test_grid_in_colour_and_out_of_range():
    images = 3 * torch.randn(1, 2, 3, 9, 9, requires_grad=True)
    canvas = tiles(plots.grid(images).axes[0])
    assert canvas.min() == 0 and canvas.max() == 1
    assert torch.equal(canvas[:, :9], images.detach()[0, 0].clamp(0, 1).permute(1, 2, 0))


def test_white_images_stand_out_from_the_ground():
    canvas = tiles(plots.grid(torch.ones(1, 2, 8, 8)).axes[0])
    assert (canvas[:, 8] < 0.95).all() and (canvas[:, 8] > 0.05).all()


def test_labels_stand_at_the_middle_of_their_images():
    figure = plots.grid(torch.rand(3, 2, 28, 28), row_labels=["a", "b", "c"], column_labels=[5, 90])
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["5", "90"]
    assert axes.get_yticks().tolist() == pytest.approx([14, 44, 74], abs=0.51)
    drawn(figure)


def test_separators_lie_between_rows():
    (axes,) = plots.grid(torch.rand(4, 2, 28, 28), separators=[1, 3]).axes
    heights = [line.get_ydata()[0] for line in axes.lines]
    assert heights == [30 - 1.5, 90 - 1.5]


def test_pair_and_conditioning_have_two_panels():
    left, right = torch.rand(4, 5, 8, 8), torch.rand(4, 3, 8, 8)
    for figure in (plots.pair(left, right, titles=("left", "right")), plots.conditioning(left, right)):
        drawn(figure)
        first, second = figure.axes
        assert tiles(first).shape[1] == 5 * 9 - 1 and tiles(second).shape[1] == 3 * 9 - 1
        assert first.get_title() and second.get_title()
        assert first.get_position().width > second.get_position().width


def test_composition_sets_the_two_sets_apart():
    first, second, samples = torch.zeros(6, 8, 8), torch.ones(6, 8, 8), torch.full((3, 6, 8, 8), 0.5)
    figure = plots.composition(first, second, samples)
    (axes,) = figure.axes
    canvas = tiles(axes)
    assert canvas.shape[0] == 5 * 9 - 1
    assert canvas[:8, :8].max() == 0 and canvas[9:17, :8].min() == 1 and (canvas[18:26, :8] == 0.5).all()
    (line,) = axes.lines
    assert 16.5 <= line.get_ydata()[0] <= 17.5
    drawn(figure)


def test_heatmap_writes_every_cell():
    figure = plots.heatmap([[0.4, 99.6], [50.0, 12.0], [7.0, 8.0]], [0, 90, 180], ["a", "b"], title="%")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["0", "100", "50", "12", "7", "8"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "90", "180"]
    drawn(figure)


def test_curves_have_a_panel_for_each_term_that_is_not_zero():
    history = [
        {"epoch": 0, "step": 5, "bound": -9.0, "x": -7.0, "z": 2.0, "a": 0.0, "validation": -9.5},
        {"epoch": 1, "step": 10, "bound": -6.0, "x": -5.0, "z": 1.0, "a": 0.0, "validation": -6.5},
        {"epoch": 2, "step": 12, "bound": -5.0, "x": -4.0, "z": 1.0, "a": 0.0},
    ]
    figure = plots.curves(history)
    drawn(figure)
    shown = [axes for axes in figure.axes if axes.lines]
    assert [axes.get_title().split(",")[0] for axes in shown] == ["bound", "x", "z"]
    bound, held_out = shown[0].lines
    assert list(bound.get_xdata()) == [5, 10, 12] and list(held_out.get_ydata()) == [-9.5, -6.5]
    assert isinstance(plots.curves([]), Figure)


def test_embedding_colours_by_label():
    points = torch.randn(12, 2)
    labels = ["b", "a", None] * 4
    figure = plots.embedding(points, labels, title="codes")
    drawn(figure)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "unknown"]
    assert [len(cloud.get_offsets()) for cloud in axes.collections] == [4, 4, 4]
    assert len({tuple(cloud.get_facecolor()[0]) for cloud in axes.collections}) == 3
    assert torch.allclose(torch.as_tensor(axes.collections[0].get_offsets().data).float(), points[1::3])
    many = plots.embedding(torch.randn(14, 2), torch.arange(14))
    looks = {
        (tuple(cloud.get_facecolor()[0]), str(cloud.get_paths()[0].vertices.tolist()))
        for cloud in many.axes[0].collections
    }
    assert len(looks) == 14


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.grid(torch.rand(3, 8, 8)),
        lambda: plots.grid(torch.rand(3, 2, 4, 8, 8)),
        lambda: plots.grid(torch.rand(0, 2, 8, 8)),
        lambda: plots.grid(torch.rand(3, 2, 8, 8), row_labels=["a"]),
        lambda: plots.pair(torch.rand(3, 8, 8), torch.rand(3, 2, 8, 8)),
        lambda: plots.embedding(torch.rand(5, 3), [0] * 5),
        lambda: plots.embedding(torch.rand(5, 2), [0] * 4),
    ],
)
def test_wrong_shapes_are_refused(draw):
    with pytest.raises(ShapeError, match=r"expected|should be"):
        draw()


def test_save_writes_a_small_picture_and_nothing_else(tmp_path):
    strokes = torch.nn.functional.interpolate(torch.randn(10, 10, 5, 5), size=(28, 28), mode="bilinear")
    file = plots.save(plots.grid(strokes), tmp_path / "new" / "grid.png")
    assert file.read_bytes().startswith(b"\x89PNG") and file.stat().st_size < 200_000
    assert list(file.parent.iterdir()) == [file]


def test_save_that_fails_leaves_the_old_picture(tmp_path):
    file = tmp_path / "grid.png"
    file.write_bytes(b"old")

    class Broken(Figure):
        def savefig(self, path, **options):
            with open(path, "wb") as partial:
                partial.write(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        plots.save(Broken(), file)
    assert file.read_bytes() == b"old" and list(tmp_path.iterdir()) == [file]


def test_no_global_state_is_touched():
    import sys

    before = "matplotlib.pyplot" in sys.modules
    plots.grid(torch.rand(1, 1, 8, 8))
    assert ("matplotlib.pyplot" in sys.modules) == before

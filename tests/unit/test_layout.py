"""The metadata: written for every reader of OME-Zarr, read back strictly."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from ome_zarr_models.v05.image import Image

from firstlight.layout import DTYPES, Channel, ImageLayout, LayoutError, default_channels
from support import plan_cases


@st.composite
def layouts(draw: st.DrawFn) -> ImageLayout:
    """Layouts of all kinds."""
    axes = (*(a for a in "tcz" if draw(st.booleans())), "y", "x")
    rgb = "c" in axes and draw(st.booleans())
    dtype = draw(st.sampled_from(DTYPES))
    shape = [draw(st.integers(1, 4)) for _ in axes[:-2]] + [draw(st.integers(1, 3000)) for _ in range(2)]
    if rgb:
        shape[axes.index("c")] = 3
    units = st.sampled_from(["", "micrometer", "nanometer"])
    sizes = st.tuples(st.floats(1e-6, 1e6), units)
    count = shape[axes.index("c")] if "c" in axes else 1
    values = st.integers(-1000, 1000) | st.floats(-1e6, 1e6)
    channels = []
    for _ in range(count):
        lo, hi = sorted(draw(st.tuples(values, values).filter(lambda v: v[0] != v[1])))
        colour = "#" + draw(st.text("0123456789abcdef", min_size=6, max_size=6))
        channels.append(Channel(draw(st.text(max_size=5)), colour, (lo, hi), (lo, hi), draw(st.booleans())))
    return ImageLayout.build(
        draw(st.text(min_size=1, max_size=9)),
        axes,
        shape,
        dtype,
        rgb=rgb,
        chunk=8 * draw(st.integers(1, 200)),
        channels=draw(st.sampled_from([channels, []])),
        pixel_size={a: draw(sizes) for a in axes if a != "c" and draw(st.booleans())},
        thumbnail=draw(st.none() | st.just("data:image/png;base64,AAAA")),
        source=draw(st.none() | st.text(max_size=9)),
    )


def strict(document: Any) -> Any:
    """Through JSON text and back; NaN and Infinity are refused."""
    return json.loads(json.dumps(document, allow_nan=False))


@given(layouts())
def test_what_is_written_is_read_back(layout: ImageLayout) -> None:
    assert ImageLayout.from_json(strict(layout.to_json())) == layout


def write(layout: ImageLayout, folder: Path) -> None:
    (folder / "zarr.json").write_text(json.dumps(layout.to_json()))
    for n in range(len(layout.arrays)):
        path = folder / layout.array_key(n)
        path.parent.mkdir()
        path.write_text(json.dumps(layout.array_json(n)))


@pytest.mark.parametrize("name", plan_cases.LAYOUTS)
def test_zarr_and_ome_zarr_models_accept_it(name: str, tmp_path: Path) -> None:
    layout = plan_cases.LAYOUTS[name]
    write(layout, tmp_path)
    group = zarr.open_group(tmp_path, mode="r", zarr_format=3)
    members = dict(group.arrays())
    assert sorted(members) == [array.path for array in layout.arrays]
    for array in layout.arrays:
        member = members[array.path]
        assert (member.shape, member.chunks) == (array.shape, array.chunks)
        assert member.dtype == np.dtype(layout.dtype)
        assert member.metadata.to_dict()["dimension_names"] == layout.axes
        # Nothing is stored yet: all of it is the fill value.
        assert not np.asarray(member[(0,) * (member.ndim - 1)]).any()
    model = Image.from_zarr(group)
    assert [d.path for d in model.ome_attributes.multiscales[0].datasets] == sorted(members)
    transform = model.ome_attributes.multiscales[0].datasets[-1].coordinateTransformations[0]
    scale = transform.model_dump()["scale"]
    size = layout.pixel_size.get("x", (1.0, ""))[0]
    assert scale[-1] == size * 8 ** (len(layout.arrays) - 1)


def test_consolidated_metadata_is_what_zarr_writes(tmp_path: Path) -> None:
    layout = plan_cases.LAYOUTS["cells"]
    write(layout, tmp_path)
    root = tmp_path / "zarr.json"
    written = strict(layout.to_json())
    with pytest.warns(UserWarning, match="Consolidated metadata"):
        zarr.consolidate_metadata(tmp_path, zarr_format=3)
    assert json.loads(root.read_text()) == written


@pytest.mark.parametrize(("name", "where", "value", "names"), plan_cases.LAYOUT_ERRORS)
def test_an_error_names_the_object_and_the_field(name: str, where: list[str | int], value: object, names: str) -> None:
    document = plan_cases.broken_document(name, where, value)
    with pytest.raises(LayoutError) as caught:
        ImageLayout.from_json(document, "s3://bucket/a.zarr/zarr.json")
    assert str(caught.value).startswith("s3://bucket/a.zarr/zarr.json: ")
    assert names in str(caught.value)


@pytest.mark.parametrize("document", [None, [], "x", 3, {}])
def test_something_else_is_refused(document: object) -> None:
    with pytest.raises(LayoutError, match=r"^zarr\.json"):
        ImageLayout.from_json(document)


def leaves(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where all members of a document are."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, each in items for path in leaves(each, (*at, key)))]


@given(st.data())
def test_any_field_may_be_anything(data: st.DataObject) -> None:
    """A document is read, or refused by a LayoutError: no other exception."""
    document = strict(plan_cases.LAYOUTS["cells"].to_json())
    *path, last = data.draw(st.sampled_from(leaves(document)[1:]))
    target = document
    for step in path:
        target = target[step]
    kinds: list[st.SearchStrategy[Any]] = [st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)]
    target[last] = data.draw(st.one_of(*kinds, st.just([]), st.just({})))
    try:
        layout = ImageLayout.from_json(document)
    except LayoutError as error:
        assert str(error).startswith("zarr.json: ")  # noqa: PT017
    else:
        assert ImageLayout.from_json(strict(layout.to_json())) == layout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "float32"}, "float32"),
        ({"axes": ("x", "y"), "shape": (3, 3)}, "axes"),
        ({"shape": (3,)}, "one size for each axis"),
        ({"chunk": 100}, "multiple of 8"),
        ({"chunk": 1 << 17}, "multiple of 8"),
        ({"shape": (0, 3)}, "at least 1 sample"),
        ({"channels": default_channels(2, "uint8", False)}, "channels"),
        ({"channels": [Channel("", "red", (0, 1), (0, 1))]}, "#rrggbb"),
        ({"channels": [Channel("", "#000000", (1, 1), (0, 1))]}, "lo < hi"),
        ({"channels": [Channel("", "#000000", (0, float("nan")), (0, 1))]}, "finite"),
        ({"pixel_size": {"y": (0.0, "micrometer")}}, "pixel_size"),
        ({"pixel_size": {"z": (1.0, "micrometer")}}, "pixel_size"),
        ({"thumbnail": "x.png"}, "data URI"),
    ],
)
def test_build_refuses_contradictions(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"axes": ("y", "x"), "shape": (10, 10), "dtype": "uint8", **changes}
    with pytest.raises(LayoutError, match=message):
        ImageLayout.build("a", **arguments)


def test_shards_of_a_plane_that_does_not_exist() -> None:
    layout = plan_cases.LAYOUTS["stack"]
    for level, plane in [(0, {"z": 3}), (0, {"t": -1}), (0, {"c": 2}), (99, {})]:
        with pytest.raises(LayoutError, match="stack"):
            layout.shards(level, (0, 0, 1, 1), **plane)

"""What `image[...]` names: numpy's basic indexing, as planes of samples and the shards under them. Pure.

A selection along y and x with steps is read as the least region that holds it; the samples between are dropped where
a shard's part is put into its place.
"""

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.geometry import Region
from firstlight.layout import ImageLayout
from firstlight.plan import Tolerance, View, ViewPart, view_parts


@dataclass(frozen=True, slots=True)
class AxisSelection:
    """Samples along one axis.

    Attributes
    ----------
    samples : range
        Ascending.
    flipped : bool
        They were asked for in descending order.
    dropped : bool
        The axis was indexed by an integer and is not in the result.
    """

    samples: range
    flipped: bool = False
    dropped: bool = False


def resolve(selection: Any, shape: Sequence[int], axes: Sequence[str]) -> tuple[AxisSelection, ...]:
    """One AxisSelection for each axis.

    Parameters
    ----------
    selection
        Integers, slices and at most one ellipsis; a tuple of them where there are several.
    shape, axes
        Sizes and names of the axes.

    Raises
    ------
    IndexError
        Where numpy raises it, and for what is not basic indexing.
    """
    items = selection if isinstance(selection, tuple) else (selection,)
    dots = sum(item is Ellipsis for item in items)
    if dots > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if len(items) - dots > len(shape):
        raise IndexError(
            f"too many indices: the image is {len(shape)}-dimensional, but {len(items) - dots} were indexed"
        )
    missing = [slice(None)] * (len(shape) - len(items) + dots)
    at = next((n for n, item in enumerate(items) if item is Ellipsis), len(items))
    full = [*items[:at], *missing, *items[at + 1 :]]
    named = zip(full, axes, shape, strict=True)
    return tuple(_resolve_axis(item, n, axis, length) for n, (item, axis, length) in enumerate(named))


def _resolve_axis(item: Any, number: int, axis: str, length: int) -> AxisSelection:
    if isinstance(item, slice):
        samples = range(length)[item]
        return AxisSelection(samples[::-1], flipped=True) if samples.step < 0 else AxisSelection(samples)
    if isinstance(item, (bool, np.bool_)) or item is None:
        raise IndexError(f"axis {number} ({axis}): only integers, slices and an ellipsis are understood, not {item!r}")
    try:
        index = operator.index(item)
    except TypeError:
        raise IndexError(
            f"axis {number} ({axis}): only integers, slices and an ellipsis are understood, not {type(item).__name__}"
        ) from None
    if not -length <= index < length:
        raise IndexError(f"index {index} is out of bounds for axis {number} ({axis}) with size {length}")
    index %= length
    return AxisSelection(range(index, index + 1), dropped=True)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What one shard gives to a result.

    Attributes
    ----------
    wish : ViewPart
        The shard, its level and region, and the tolerance.
    target : ndarray, (components, rows, columns)
        Where the samples go: a view of the result.
    components : range
        The shard's components that are wanted, in the order of `target`.
    step : (int, int)
        Distance of the selected rows and columns.
    """

    wish: ViewPart
    target: NDArray[Any]
    components: range
    step: tuple[int, int]

    def place(self, samples: NDArray[Any]) -> None:
        """Put samples into the result.

        Parameters
        ----------
        samples : ndarray, (height, width) or (height, width, components)
            From the corner of the part's region; may be less than all of it.
        """
        ref = self.wish.ref
        rows, from_row = _selected(ref.y, samples.shape[0], self.step[0])
        columns, from_column = _selected(ref.x, samples.shape[1], self.step[1])
        picked = samples[from_row :: self.step[0], from_column :: self.step[1]]
        for place, component in enumerate(self.components):
            self.target[place, rows, columns] = picked[..., component] if samples.ndim == 3 else picked


def _selected(offset: int, length: int, step: int) -> tuple[slice, int]:
    """Of `length` samples that start `offset` after the first selected one: (their places in the result, the first)."""
    first = -(-offset // step)
    end = (offset + length - 1) // step + 1
    return slice(first, max(first, end)), first * step - offset


class PartedView:
    """A selection of a level of an image: the shape of the result, and the parts that fill it.

    Parameters
    ----------
    layout : ImageLayout
    level : int
    selected : sequence of AxisSelection
        One for each axis, in samples of `level`.
    tolerances : sequence of Tolerance
        One for each channel; of a colour image the first one counts.
    """

    def __init__(
        self, layout: ImageLayout, level: int, selected: Sequence[AxisSelection], tolerances: Sequence[Tolerance]
    ) -> None:
        self._layout = layout
        self._level = level
        self._selected = selected
        self._tolerances = tolerances

    def empty(self) -> NDArray[Any]:
        """A result of fill values, all axes in it."""
        return np.zeros([len(axis.samples) for axis in self._selected], self._layout.dtype)

    def finish(self, result: NDArray[Any]) -> NDArray[Any]:
        """The result with its axes as they were asked for."""
        return result[tuple(0 if a.dropped else slice(None, None, -1 if a.flipped else 1) for a in self._selected)]

    @property
    def region(self) -> Region:
        """The least region that holds the selected rows and columns."""
        rows, columns = (axis.samples for axis in self._selected[-2:])
        return rows.start, columns.start, rows[-1] - rows.start + 1, columns[-1] - columns.start + 1

    def parts(self, result: NDArray[Any]) -> Iterator[Part]:
        """The parts of every plane, each of which fills its own place of `result` (as `empty` gave it)."""
        if result.size == 0:
            return
        axes = self._layout.axes
        leading = self._selected[:-2]
        step = (self._selected[-2].samples.step, self._selected[-1].samples.step)
        colour = axes.index("c") if self._layout.rgb else None
        components = range(1) if colour is None else leading[colour].samples
        # A colour image's components come together: its c is not walked along.
        walks = [range(1) if n == colour else range(len(axis.samples)) for n, axis in enumerate(leading)]
        for places in product(*walks):
            plane = {a: leading[n].samples[places[n]] for n, a in enumerate(axes[:-2]) if n != colour}
            c = plane.pop("c", 0)
            view = View(self.region, self._level, channels=(c,), tolerance=self._tolerances[c], **plane)
            target = result[tuple(slice(None) if n == colour else place for n, place in enumerate(places))]
            for wish in view_parts(self._layout, view):
                yield Part(wish, target if colour is not None else target[None], components, step)

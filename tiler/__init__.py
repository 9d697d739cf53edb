"""firstlight: big images, stored once without loss, on the screen coarse first over plain HTTP.

>>> import firstlight
>>> firstlight.ingest("slide.svs", "slide.zarr")                # doctest: +SKIP
>>> image = firstlight.open("https://host/slide.zarr")          # doctest: +SKIP
>>> image[:, 3000:4000, 5000:6000]                              # doctest: +SKIP
>>> image.read(level=5, max_error="visual")                     # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

# Not lazily: importing the package `firstlight.ingest` later would put the package in the function's place.
from firstlight.ingest import ingest

if TYPE_CHECKING:
    from firstlight import errors
    from firstlight.image import Image, Picture, open

__version__ = "0.1.0"
__all__ = ["Image", "Picture", "__version__", "errors", "ingest", "open"]


def __getattr__(name: str) -> Any:
    # Imported when first used: reading pulls in the object store client.
    from importlib import import_module

    if name == "errors":
        return import_module("firstlight.errors")
    if name in ("Image", "Picture", "open"):
        return getattr(import_module("firstlight.image"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""The web server of firstlight: catalogue, viewer, stored objects by byte range, thumbnails (see `server`)."""

from .server import background, create_app, run

__all__ = ["background", "create_app", "run"]

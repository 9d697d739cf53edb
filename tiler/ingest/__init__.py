"""Image files into firstlight images."""

from firstlight.ingest.pipeline import Progress, ingest
from firstlight.ingest.source import Source, SourceChannel, SourceError, open_source

__all__ = ["Progress", "Source", "SourceChannel", "SourceError", "ingest", "open_source"]

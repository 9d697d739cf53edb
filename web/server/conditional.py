"""Which part of an object a GET or HEAD gets: ranges and preconditions of RFC 9110, sections 13 and 14. Pure.

A request for several ranges at once is answered with the whole object, as the RFC allows: nothing of ours sends one,
and a merged range costs less than a multipart body. So is a Range that is malformed or not in bytes.
"""

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate
from functools import lru_cache

HEADERS = ("If-Match", "If-Unmodified-Since", "If-None-Match", "If-Modified-Since", "If-Range", "Range")
"""The headers that an answer depends on."""
# Longer numbers are not sizes; the limit keeps int() from refusing them.
_RANGE = re.compile(r"bytes[ \t]*=[ \t,]*([0-9]{0,400})-([0-9]{0,400})[ \t,]*", re.IGNORECASE)
_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\U0010ffff]*")')


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send.

    Attributes
    ----------
    status : int
        200, 206, 304, 412 or 416.
    offset, length : int
        The bytes of the body; of a HEAD, those that a GET would have. (0, 0) for 304, 412 and 416.
    """

    status: int
    offset: int = 0
    length: int = 0


@lru_cache(1024)
def http_date(seconds: int) -> str:
    """Seconds since 1970 as an IMF-fixdate."""
    return formatdate(seconds, usegmt=True)


def parse_date(text: str) -> int | None:
    """Seconds since 1970 of an HTTP date in any of its three forms; None where it is none."""
    try:
        fields = parsedate(text)
        return None if fields is None else calendar.timegm(fields)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def parse_range(text: str, size: int) -> tuple[int, int] | None:
    """The byte range that a Range header selects of an object of `size` bytes.

    Returns
    -------
    (offset, length) or None
        None: the header is to be ignored (several ranges, another unit, malformed). (0, 0): nothing of the object is
        in the range, which is a 416.
    """
    match = _RANGE.fullmatch(text.strip())
    if match is None or match.group(0).count("-") != 1:
        return None
    first, last = match.groups()
    if not first:
        if not last or size == 0:
            # A suffix of an empty object is satisfiable, but Content-Range can't say so.
            return None
        length = min(int(last), size)
        return (size - length, length) if length else (0, 0)
    start = int(first)
    if last and int(last) < start:
        return None
    end = min(int(last) + 1, size) if last else size
    return (start, end - start) if start < size else (0, 0)


def tag_listed(text: str, etag: str, *, weak: bool) -> bool:
    """Whether an If-Match or If-None-Match header holds the strong `etag` (or is "*").

    `weak`: compare weakly, as If-None-Match does; a strong comparison never matches a W/ tag.
    """
    if text.strip() == "*":
        return True
    return any(tag == etag and (weak or not mark) for mark, tag in _TAG.findall(text))


def answer(
    method: str, headers: Mapping[str, str], *, etag: str, modified: int | None, size: int, now: float
) -> Answer:
    """The answer to a GET or HEAD, preconditions in the order of RFC 9110, 13.2.2.

    Parameters
    ----------
    method : str
        "GET" or "HEAD"; a HEAD has no ranges.
    headers : mapping
        Keys as in HEADERS; a header that came several times joined by ", ".
    etag : str
        Strong, with its quotes.
    modified : int or None
        Last-Modified in seconds since 1970; None: the object has none, and conditions on dates are ignored.
    size : int
        Bytes of the whole object.
    now : float
        Seconds since 1970.
    """
    if (match := headers.get("If-Match")) is not None:
        if not tag_listed(match, etag, weak=False):
            return Answer(412)
    elif modified is not None and (date := _date(headers, "If-Unmodified-Since")) is not None and modified > date:
        return Answer(412)
    if (match := headers.get("If-None-Match")) is not None:
        if tag_listed(match, etag, weak=True):
            return Answer(304)
    elif modified is not None and (date := _date(headers, "If-Modified-Since")) is not None and modified <= date:
        return Answer(304)
    wanted = headers.get("Range") if method == "GET" else None
    if wanted is not None and _same(headers.get("If-Range"), etag, modified, now):
        selected = parse_range(wanted, size)
        if selected == (0, 0):
            return Answer(416)
        if selected is not None:
            return Answer(206, *selected)
    return Answer(200, 0, size)


def _date(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name)
    return None if text is None else parse_date(text)


def _same(condition: str | None, etag: str, modified: int | None, now: float) -> bool:
    """Whether an If-Range holds: the very tag, or the very date of an object that is not being written right now."""
    if condition is None:
        return True
    if '"' in condition:
        return condition.strip() == etag
    # Two versions within one second have one date, so a date says nothing until that second is over.
    return modified is not None and parse_date(condition) == modified and now >= modified + 1

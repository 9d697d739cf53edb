"""Ranges and preconditions of RFC 9110, as tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.web.conditional import Answer, answer, http_date, parse_date, parse_range, tag_listed

ETAG = '"abc"'
MODIFIED = 1_700_000_000
NOW = MODIFIED + 1000.0
WHOLE = Answer(200, 0, 100)
OLDER, SAME, NEWER = http_date(MODIFIED - 1), http_date(MODIFIED), http_date(MODIFIED + 1)


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("bytes=0-0", 100, (0, 1)),
        ("bytes=0-99", 100, (0, 100)),
        ("bytes=10-19", 100, (10, 10)),
        ("bytes=10-", 100, (10, 90)),
        ("bytes=99-", 100, (99, 1)),
        ("bytes=90-200", 100, (90, 10)),
        ("bytes=0-99999999999999999999999999", 100, (0, 100)),
        ("bytes=-1", 100, (99, 1)),
        ("bytes=-100", 100, (0, 100)),
        ("bytes=-101", 100, (0, 100)),
        ("BYTES=0-1", 100, (0, 2)),
        ("bytes= 0-1 ", 100, (0, 2)),
        ("bytes=,0-1,", 100, (0, 2)),
        # nothing of the object: 416
        ("bytes=100-", 100, (0, 0)),
        ("bytes=100-200", 100, (0, 0)),
        ("bytes=99999999999999999999999999-", 100, (0, 0)),
        ("bytes=-0", 100, (0, 0)),
        ("bytes=0-", 0, (0, 0)),
        # ignored: the whole object
        ("bytes=-5", 0, None),
        ("bytes=0-1,3-4", 100, None),
        ("bytes=0-1, -4", 100, None),
        ("bytes=5-4", 100, None),
        ("bytes=-", 100, None),
        ("bytes=", 100, None),
        ("bytes", 100, None),
        ("bytes=a-b", 100, None),
        ("bytes=0x1-2", 100, None),
        ("bytes=1.5-2", 100, None),
        ("bytes=--1", 100, None),
        ("bytes=1--2", 100, None),
        ("bytes=+1-2", 100, None),
        ("bytes=\u0661-\u0662", 100, None),
        ("items=0-1", 100, None),
        ("0-1", 100, None),
        ("", 100, None),
        ("bytes=" + "9" * 5000 + "-", 100, None),
    ],
)
def test_ranges(text: str, size: int, expected: tuple[int, int] | None) -> None:
    assert parse_range(text, size) == expected


@given(st.text() | st.from_regex(r"bytes=[0-9]{0,5}-[0-9]{0,5}(,[0-9]{0,3}-)?", fullmatch=True), st.integers(0, 9999))
def test_a_range_stays_inside(text: str, size: int) -> None:
    found = parse_range(text, size)
    if found is not None and found != (0, 0):
        offset, length = found
        assert offset >= 0
        assert length > 0
        assert offset + length <= size


@pytest.mark.parametrize(
    ("text", "weak", "expected"),
    [
        ('"abc"', False, True),
        ('"abd"', False, False),
        ('W/"abc"', False, False),
        ('W/"abc"', True, True),
        ('"x", "abc"', False, True),
        ('"x","abc"', True, True),
        ('"x,"abc"', True, False),
        ("*", False, True),
        (" * ", True, True),
        ("abc", True, False),
        ("", True, False),
        ('"a*"', True, False),
    ],
)
def test_tags(text: str, weak: bool, expected: bool) -> None:
    assert tag_listed(text, ETAG, weak=weak) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        ("Sun Nov  6 08:49:37 1994", 784111777),
        ("yesterday", None),
        ("", None),
        ("Sun, 99 Nov 99999999999 08:49:37 GMT", None),
        ("0 0 0 0 0", None),
    ],
)
def test_dates(text: str, expected: int | None) -> None:
    assert parse_date(text) == expected


@given(st.text())
def test_no_date_is_too_strange(text: str) -> None:
    parse_date(text)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, WHOLE),
        ({"If-Match": ETAG}, WHOLE),
        ({"If-Match": "*"}, WHOLE),
        ({"If-Match": '"old"'}, Answer(412)),
        ({"If-Match": f"W/{ETAG}"}, Answer(412)),
        ({"If-Match": "nonsense"}, Answer(412)),
        ({"If-Match": ETAG, "If-Unmodified-Since": OLDER}, WHOLE),  # the tag says more: the date is not looked at
        ({"If-Unmodified-Since": OLDER}, Answer(412)),
        ({"If-Unmodified-Since": SAME}, WHOLE),
        ({"If-Unmodified-Since": "nonsense"}, WHOLE),
        ({"If-None-Match": ETAG}, Answer(304)),
        ({"If-None-Match": f"W/{ETAG}"}, Answer(304)),
        ({"If-None-Match": "*"}, Answer(304)),
        ({"If-None-Match": '"old"'}, WHOLE),
        ({"If-None-Match": '"old"', "If-Modified-Since": NEWER}, WHOLE),
        ({"If-Modified-Since": OLDER}, WHOLE),
        ({"If-Modified-Since": SAME}, Answer(304)),
        ({"If-Modified-Since": NEWER}, Answer(304)),
        ({"If-Modified-Since": "nonsense"}, WHOLE),
        ({"If-Match": ETAG, "If-None-Match": ETAG}, Answer(304)),
        ({"Range": "bytes=1-2"}, Answer(206, 1, 2)),
        ({"Range": "bytes=100-"}, Answer(416)),
        ({"Range": "bytes=1-2", "If-Match": ETAG}, Answer(206, 1, 2)),
        ({"Range": "bytes=1-2", "If-Match": '"old"'}, Answer(412)),
        ({"Range": "bytes=100-", "If-None-Match": ETAG}, Answer(304)),
        ({"Range": "bytes=1-2", "If-Range": ETAG}, Answer(206, 1, 2)),
        ({"Range": "bytes=1-2", "If-Range": f"W/{ETAG}"}, WHOLE),
        ({"Range": "bytes=1-2", "If-Range": '"old"'}, WHOLE),
        ({"Range": "bytes=100-", "If-Range": '"old"'}, WHOLE),
        ({"Range": "bytes=1-2", "If-Range": SAME}, Answer(206, 1, 2)),
        ({"Range": "bytes=1-2", "If-Range": OLDER}, WHOLE),
        ({"Range": "bytes=1-2", "If-Range": NEWER}, WHOLE),
        ({"Range": "bytes=1-2", "If-Range": "nonsense"}, WHOLE),
        ({"If-Range": '"old"'}, WHOLE),
    ],
)
def test_answers(headers: dict[str, str], expected: Answer) -> None:
    assert answer("GET", headers, etag=ETAG, modified=MODIFIED, size=100, now=NOW) == expected


def test_a_head_has_no_range() -> None:
    assert answer("HEAD", {"Range": "bytes=1-2"}, etag=ETAG, modified=MODIFIED, size=100, now=NOW) == WHOLE


def test_a_date_proves_nothing_within_its_second() -> None:
    headers = {"Range": "bytes=1-2", "If-Range": SAME}
    assert answer("GET", headers, etag=ETAG, modified=MODIFIED, size=100, now=MODIFIED + 0.5) == WHOLE


def test_dates_are_ignored_where_there_is_none() -> None:
    for headers in ({"If-Modified-Since": NEWER}, {"If-Unmodified-Since": OLDER}):
        assert answer("GET", headers, etag=ETAG, modified=None, size=100, now=NOW) == WHOLE

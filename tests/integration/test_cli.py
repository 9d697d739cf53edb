"""The command line as its users meet it: child processes, their output line by line, their exit codes."""

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import firstlight
from firstlight import codecs

FIRSTLIGHT = [sys.executable, "-W", "error", "-m", "firstlight"]


def run(*words: str | Path, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [*FIRSTLIGHT, *map(str, words)], capture_output=True, text=True, timeout=120, **options
    )


def fails(*words: str | Path, code: int = 1, **options: object) -> str:
    """The one line that a failing command says."""
    done = run(*words, **options)
    assert done.stdout == ""
    assert done.returncode == code, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(f"firstlight {words[0]}: ")
    return lines[0]


@contextmanager
def serving(*words: str | Path, cache: Path) -> Iterator[tuple[str, Path]]:
    """A command that serves, until the block ends and it is stopped as by Ctrl-C.

    Gives the address that it prints, and the file that its stderr goes to.
    """
    log = cache.with_name("stderr.txt")
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONUNBUFFERED": "1"}
    with (
        log.open("wb") as sink,
        subprocess.Popen(
            [*FIRSTLIGHT, *map(str, words)], stdout=subprocess.PIPE, stderr=sink, text=True, env=environment
        ) as child,
    ):
        try:
            assert child.stdout is not None
            found = re.search(r"http://\S+", child.stdout.readline())
            assert found, log.read_text()
            yield found[0], log
            child.send_signal(signal.SIGINT)
            assert child.wait(20) == 0
        finally:
            child.kill()


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:
        body: bytes = answer.read()
        return body


# -- help and usage -----------------------------------------------------------------------------------------------


def test_help_teaches() -> None:
    top = run("--help")
    assert top.returncode == 0
    assert "first steps:" in top.stdout
    for command in ("ingest", "serve", "view", "demo", "preview", "info", "verify"):
        assert re.search(rf"^ +{command} +\w", top.stdout, re.M)
        text = run(command, "--help").stdout
        assert "examples:" in text
        assert f"firstlight {command}" in text
        assert max(map(len, text.splitlines())) <= 120
    assert run("--version").stdout == f"firstlight {firstlight.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [[], ["frobnicate"], ["info"], ["serve", "x", "--port", "99999"], ["preview", "a", "b.png", "--size", "0"]],
)
def test_argparse_s_usage_errors(words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: firstlight")


def test_our_own_usage_errors(images: Path, tmp_path: Path, data: Path) -> None:
    stack, slide = images / "stack.zarr", images / "slide.zarr"
    out = tmp_path / "x.png"
    assert "--z 45: the image has z 0 to 44" in fails("preview", stack, out, "--z", "45", code=2)
    assert "--channels DNA: the image has 0 (" in fails("preview", stack, out, "--channels", "DNA", code=2)
    assert "can't be chosen" in fails("preview", slide, out, "--channels", "0", code=2)
    assert "ends in .png, .jpg" in fails("preview", stack, tmp_path / "x.txt", code=2)
    assert "a multiple of 8, not 12" in fails("ingest", data / "ct_small.tif", "--chunk", "12", code=2)
    assert "expected a folder for 2 images" in fails("ingest", "a.tif", "b.tif", tmp_path / "c.zarr", code=2)
    assert "no such folder" in fails("ingest", "a.tif", f"{tmp_path}/absent/", code=2)
    assert "--name is for one image" in fails("ingest", "a.tif", "b.tif", tmp_path, "--name", "n", code=2)
    assert "`firstlight view" in fails("serve", data / "ct_small.tif", code=2)
    assert not out.exists()


# -- ingest -------------------------------------------------------------------------------------------------------


def test_ingest_says_what_it_did(data: Path, tmp_path: Path) -> None:
    done = run("ingest", data / "kodim23.png", tmp_path / "photo.zarr", "--name", "parrots")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        rf"{tmp_path}/photo\.zarr: 768 x 512 px RGB uint8, 1\.2 MB stored in \d+ kB \(\d+ %\), [\d.]+ s, [\d.]+ .B/s\n",
        done.stdout,
    )
    assert firstlight.open(tmp_path / "photo.zarr").name == "parrots"
    assert os.listdir(tmp_path) == ["photo.zarr"]


def test_ingest_many_as_cp_does(data: Path, tmp_path: Path) -> None:
    sources = [data / "ct_small.tif", data / "mr_small.tif", data / "OS-1-detail.ome.tif"]
    done = run("ingest", *sources, tmp_path)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 3
    assert sorted(os.listdir(tmp_path)) == ["OS-1-detail.zarr", "ct_small.zarr", "mr_small.zarr"]
    done = run("ingest", "--quiet", sources[0], cwd=tmp_path / "ct_small.zarr")
    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "ct_small.zarr" / "ct_small.zarr" / "zarr.json").exists()


def test_ingest_failures(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "t.zarr"
    assert fails("ingest", tmp_path / "absent.tif", target).endswith("absent.tif: no such file")
    assert "found a directory" in fails("ingest", data, target)
    text = tmp_path / "notes.tif"
    text.write_text("Dear diary")
    assert "expected an image (PNG, JPEG, WebP, TIFF, NumPy), found text: 'Dear diary'" in fails(
        "ingest", text, target
    ).replace("'Dear di'", "'Dear diary'")
    for name in ("CMU-1-Small-Region.svs", "kodim23.png", "ct_small.tif", "m13_hdu0.npy"):
        cut = tmp_path / f"cut-{name}"
        whole = (data / name).read_bytes()
        cut.write_bytes(whole[: len(whole) * 2 // 3])
        assert f"cut-{name}: " in fails("ingest", cut, target)
    assert "does not exist" in fails("ingest", data / "ct_small.tif", tmp_path / "absent" / "t.zarr")
    assert not target.exists()
    assert [p for p in os.listdir(tmp_path) if p.startswith(".")] == []

    assert run("ingest", data / "ct_small.tif", target).returncode == 0
    before = (target / "zarr.json").read_bytes()
    assert "exists already (overwrite it with --overwrite" in fails("ingest", data / "mr_small.tif", target)
    assert (target / "zarr.json").read_bytes() == before
    assert run("ingest", data / "mr_small.tif", target, "--overwrite").returncode == 0
    assert firstlight.open(target).shape == (64, 64)


def test_what_is_no_image_is_never_overwritten(data: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious.zarr"
    precious.mkdir()
    (precious / "thesis.tex").write_text("x")
    said = fails("ingest", data / "ct_small.tif", precious, "--overwrite")
    assert "exists and is not a firstlight image, so it is never overwritten" in said
    assert (precious / "thesis.tex").read_text() == "x"
    link = tmp_path / "link.zarr"
    link.symlink_to(precious)
    assert "is a symbolic link" in fails("ingest", data / "ct_small.tif", link, "--overwrite")


def test_no_permission(data: Path) -> None:
    """As a user who may not write there; root, who may write anywhere, becomes nobody for that."""
    code = (
        "import os, sys; from firstlight.cli import main; source, first, second = sys.argv[1:];"
        "assert main(['ingest', '--quiet', source, first]) == 0;"  # loads all that it takes
        "os.getuid() or os.setuid(65534); sys.exit(main(['ingest', source, second]))"
    )
    # Not tmp_path: its parents are closed to others.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "mine").mkdir(0o555)
        words = [data / "ct_small.tif", folder / "first.zarr", folder / "mine" / "second.zarr"]
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == f"firstlight ingest: {words[2]}: can't be written: Permission denied\n"


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    for words in (["--debug", "info", tmp_path / "absent"], ["info", tmp_path / "absent", "--debug"]):
        done = run(*words)
        assert done.returncode == 1
        assert "Traceback" in done.stderr
        assert "no such directory" in done.stderr


# -- what an image is ---------------------------------------------------------------------------------------------


def test_info(images: Path) -> None:
    text = run("info", images / "stack.zarr").stdout
    assert "2 c, 45 z, 133 x 130 px uint16" in text
    assert re.search(r"stored +1\.3 MB of 3\.1 MB \(\d+ %, 2\.\d\d : 1\)", text)
    facts = json.loads(run("info", images / "slide.zarr", "--json").stdout)
    assert facts["axes"] == ["c", "y", "x"]
    assert facts["shape"] == [3, 2967, 2220]
    assert facts["rgb"] is True
    assert facts["bits_per_sample"] == pytest.approx(8 * facts["stored_bytes"] / facts["samples"])
    assert facts["ratio"] == pytest.approx(8 / facts["bits_per_sample"])


def test_info_failures(tmp_path: Path, images: Path) -> None:
    assert fails("info", tmp_path).endswith(f"{tmp_path}: not a stored image: it has no zarr.json")
    assert "is a file" in fails("info", images / "ct.zarr" / "zarr.json")
    assert "connection refused" in fails("info", "http://127.0.0.1:9/x.zarr")


def test_a_reader_that_goes_away(images: Path) -> None:
    with subprocess.Popen(
        [*FIRSTLIGHT, "info", images / "stack.zarr"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait(20) == 1


# -- preview ------------------------------------------------------------------------------------------------------


def test_preview_says_how_few_bytes_it_took(images: Path, tmp_path: Path, nginx: Callable[[Path], str]) -> None:
    for place in (str(images), nginx(images)):
        out = tmp_path / "slide.png"
        done = run("preview", f"{place}/slide.zarr", out, "--size", "200")
        assert done.returncode == 0, done.stderr
        found = re.fullmatch(
            rf"{out}: (\d+) x (\d+) pixels from level 3; fetched [\d.]+ kB of 5\.\d MB stored \(([\d.]+) %\) "
            r"in \d+ requests, [\d.]+ s\n",
            done.stdout,
        )
        assert found, done.stdout
        assert (int(found[1]), int(found[2])) == (150, 200)
        assert float(found[3]) < 3
        picture = np.asarray(Image.open(out).convert("RGB"), float)
    exact = firstlight.open(images / "slide.zarr").read(level=3)
    expected = np.asarray(Image.fromarray(np.moveaxis(exact, 0, 2)).resize((150, 200), Image.Resampling.LANCZOS), float)
    assert np.sqrt(((picture - expected) ** 2).mean()) < 4


def test_preview_of_planes_and_channels(images: Path, tmp_path: Path) -> None:
    stack = images / "stack.zarr"
    pictures = {}
    for name, words in {
        "middle": [],
        "z22": ["--z", "22"],
        "z3": ["--z", "3"],
        "one": ["--channels", "1"],
        "both": ["--channels", "0,1"],
    }.items():
        out = tmp_path / f"{name}.webp"
        assert run("preview", stack, out, *words, "--precision", "exact").returncode == 0
        pictures[name] = np.asarray(Image.open(out))
    assert pictures["middle"].shape == (130, 133, 3)  # never larger than the image
    assert np.array_equal(pictures["middle"], pictures["z22"])
    assert np.array_equal(pictures["middle"], pictures["both"])
    assert not np.array_equal(pictures["middle"], pictures["z3"])
    assert not np.array_equal(pictures["middle"], pictures["one"])


def test_ctrl_c_while_a_server_keeps_us_waiting(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        words = ["preview", f"http://127.0.0.1:{silent.getsockname()[1]}/x.zarr", str(tmp_path / "x.png")]
        with subprocess.Popen([*FIRSTLIGHT, *words], stderr=subprocess.PIPE, text=True) as child:
            connection, _ = silent.accept()
            with connection:  # it waits for an answer now
                time.sleep(0.2)
                child.send_signal(signal.SIGINT)
                _, said = child.communicate(timeout=10)
    assert (child.returncode, said) == (130, "firstlight preview: interrupted\n")
    assert os.listdir(tmp_path) == []


def test_preview_failures(images: Path, tmp_path: Path) -> None:
    assert f"{tmp_path}/absent: no such directory" in fails(
        "preview", images / "ct.zarr", tmp_path / "absent" / "x.png"
    )
    assert "no such directory" in fails("preview", tmp_path / "absent.zarr", tmp_path / "x.png")
    (tmp_path / "x.png").mkdir()
    assert "x.png: Is a directory" in fails("preview", images / "ct.zarr", tmp_path / "x.png")
    assert os.listdir(tmp_path) == ["x.png"]


# -- verify -------------------------------------------------------------------------------------------------------


def test_verify(images: Path, data: Path) -> None:
    done = run("verify", images / "slide.zarr", "--against", data / "CMU-1-Small-Region.svs")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"slide\.zarr: sound, 1 shard, 19\.8 MB decoded in .*, every sample equal to .*svs", done.stdout)


def test_verify_many_shards(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "t.zarr"
    assert run("ingest", data / "OS-1-detail.ome.tif", target, "--chunk", "256").returncode == 0
    done = run("verify", target, "--against", data / "OS-1-detail.ome.tif")
    assert (done.returncode, done.stderr) == (0, "")
    assert "sound, 26 shards" in done.stdout

    # An array that is not made from the one below it, a shard that is missing, one that is damaged.
    overview = codecs.decode((target / "1/c/0/0/0").read_bytes())
    overview[0, 0] ^= 1
    (target / "1/c/0/0/0").write_bytes(codecs.encode(overview))
    (target / "0/c/0/1/1").unlink()
    shard = bytearray((target / "0/c/0/2/2").read_bytes())
    shard[-100] ^= 1
    (target / "0/c/0/2/2").write_bytes(shard)
    done = run("verify", target, "--quiet")
    assert done.returncode == 1
    assert "t.zarr: NOT SOUND, 3 complaints about 26 shards" in done.stdout
    assert "0/c/0/0/0: 3 of 3,072 samples differ from array 1, the first at row 0, column 0" in done.stderr
    assert "0/c/0/1/1: not found" in done.stderr
    assert re.search(r"0/c/0/2/2: segment \d+", done.stderr)


def test_verify_against_another_image(images: Path, data: Path, tmp_path: Path) -> None:
    done = run("verify", images / "ct.zarr", "--against", data / "mr_small.tif")
    assert done.returncode == 1
    assert done.stderr == "firstlight verify: shape: the original has (64, 64), the stored image (128, 128)\n"
    samples = np.load(data / "m13_hdu0.npy")
    samples[17, 4] += 1
    np.save(tmp_path / "other.npy", samples)
    assert run("ingest", data / "m13_hdu0.npy", tmp_path / "t.zarr").returncode == 0
    done = run("verify", tmp_path / "t.zarr", "--against", tmp_path / "other.npy")
    assert done.returncode == 1
    assert re.search(
        r"1 of 90,000 samples differ from the original, the first at row 17, column 4: -?\d+ stored", done.stderr
    )


# -- serve, view, demo --------------------------------------------------------------------------------------------


def test_serve(images: Path, tmp_path: Path) -> None:
    with serving("serve", images, "--port", "0", cache=tmp_path / "cache") as (url, _):
        assert get(f"{url}healthz") == b"ok\n"
        assert len(get(f"{url}data/slide.zarr/zarr.json")) > 1000


def test_serve_failures(images: Path, tmp_path: Path) -> None:
    assert fails("serve", tmp_path / "absent").endswith("absent: no such directory")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = fails("serve", images, "--port", str(port))
        assert said == f"firstlight serve: can't listen on 127.0.0.1:{port}: another program listens there"
    assert "no such address" in fails("serve", images, "--host", "192.0.2.1")


def test_view_stores_a_file_once(data: Path, tmp_path: Path) -> None:
    source = Path(shutil.copy(data / "ct_small.tif", tmp_path / "scan #1.tif"))
    for attempt in range(2):
        with serving("view", source, "--no-browser", "--port", "0", cache=tmp_path / "cache") as (url, log):
            assert url.endswith("/view/scan%20%231.zarr")
            assert get(url).startswith(b"<!doctype html>")
        assert ("stored in" in log.read_text()) == (attempt == 0)
    assert len(list((tmp_path / "cache/firstlight/view").iterdir())) == 1
    os.utime(source, (1, 1))
    with serving("view", source, "--no-browser", "--port", "0", cache=tmp_path / "cache"):
        pass
    assert len(list((tmp_path / "cache/firstlight/view").iterdir())) == 2


def test_view_of_a_stored_image(images: Path, tmp_path: Path) -> None:
    with serving("view", images / "ct.zarr", "--no-browser", cache=tmp_path / "cache") as (url, _):
        assert url.endswith("/view")
        assert get(url).startswith(b"<!doctype html>")
    assert not (tmp_path / "cache").exists()


def test_view_failures(tmp_path: Path) -> None:
    assert fails("view", tmp_path / "absent.tif", "--no-browser").endswith("absent.tif: no such file")
    assert "shows local images" in fails("view", "http://host/x.zarr", code=2)


def test_demo(data: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("ct_small.tif", "kodim23.png"):
        shutil.copy(data / name, pictures)
    words = ["demo", "--images", pictures, "--dir", tmp_path / "demo", "--no-browser", "--port", "0"]
    for attempt in range(2):
        with serving(*words, cache=tmp_path / "cache") as (url, log):
            assert len(json.loads(get(f"{url}images"))["images"]) == 2
        assert log.read_text().count("stored in") == (2 if attempt == 0 else 0)
    assert "has no image files" in fails("demo", "--images", tmp_path / "demo", "--no-browser", code=2)


# -- on a terminal ------------------------------------------------------------------------------------------------


def test_progress_on_a_terminal(data: Path, tmp_path: Path) -> None:
    main, other = pty.openpty()
    words = [*FIRSTLIGHT, "ingest", data / "bmng_5400x2700.jpg", tmp_path / "earth.zarr", "--chunk", "1024"]
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm-256color"}
    child = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=other, env=environment)
    os.close(other)
    seen = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ready, _, _ = select.select([main], [], [], 0.1)
        if ready:
            try:
                seen += os.read(main, 65536)
            except OSError:  # the child has closed its end
                break
    summary, _ = child.communicate(timeout=20)
    os.close(main)
    assert child.returncode == 0
    shown = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", seen).decode()
    assert "Ingesting bmng_5400x2700.jpg" in shown
    assert re.search(r"[1-9][\d.]* MB of 44\.4 MB, [\d.]+ MB/s, [\d.]+ s left", shown)
    assert summary.decode().startswith(f"{tmp_path}/earth.zarr: 5400 x 2700 px RGB uint8")

# SPDX-License-Identifier: MIT OR Apache-2.0
"""The page in a real browser: it is drawn, narrow and wide, light and dark, and nothing of it is loaded or refused."""

import re
import shutil
import struct
import subprocess
import zlib

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

WARM = ("/app/hello", "/own/hello", "/gangway")


def configure(site, kind):
    site.status("/gangway")
    site.wsgi("/app", "pep3333:app", threads=4)
    site.wsgi("/own", "pep3333:app", processes=2, threads=2, name="shop")


def chromium(folder, *words):
    basic = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}/profile"]
    command = [CHROMIUM, *basic, "--enable-logging=stderr", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def size(png):
    return struct.unpack(">II", png.read_bytes()[16:24])


def background(png):
    """The colour of the first pixel of a PNG of 8 bits a channel without interlacing."""
    data, at, packed, kind = png.read_bytes(), 8, b"", None
    while at < len(data):
        length = struct.unpack(">I", data[at : at + 4])[0]
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if name == b"IHDR":
            kind = body[9]
        if name == b"IDAT":
            packed += body
        at += 12 + length
    assert kind in (2, 6)
    # The first pixel of a row has no left neighbour, and the first row none above: all filters leave it as it is.
    return tuple(zlib.decompress(packed)[1:4])


def url(server):
    return f"http://127.0.0.1:{server.port}/gangway"


def test_a_browser_draws_it_and_complains_of_nothing(server, tmp_path):
    server.get("/app/hello")
    done = chromium(tmp_path, "--dump-dom", url(server))
    assert "shop" in done.stdout and re.search(r"<svg [^>]*>\s*<rect", done.stdout)
    assert "CONSOLE" not in done.stderr, done.stderr


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_and_follows_the_colours_of_the_reader(server, tmp_path, width, dark):
    server.get("/app/hello")
    picture = tmp_path / "status.png"
    words = [f"--screenshot={picture}", f"--window-size={width},900", "--hide-scrollbars"]
    if dark:
        words += ["--blink-settings=preferredColorScheme=0"]
    chromium(tmp_path, *words, url(server))
    assert picture.exists()
    is_dark = sum(background(picture)) < 3 * 128
    assert is_dark == dark

"""A page in headless Chromium, in frames of a telephone's and a desktop's width."""

import json
import re
import shutil
import subprocess
from html import escape, unescape

import pytest

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --virtual-time-budget=5000"
).split()
WIDTHS = (360, 1280)

needs_chromium = pytest.mark.skipif(
    shutil.which(CHROMIUM) is None, reason=f"{CHROMIUM} is not installed"
)

# Windows have a smallest width; frames have none.
FRAME = '<iframe style="border:0;width:{0}px;height:900px" data-width="{0}" srcdoc="{1}"></iframe>'

PROBE = """
<pre id="result"></pre>
<script>
function names(table) {
  const rows = Array.from(table.tBodies[0].rows).filter((row) => !row.hidden);
  return rows.map((row) => row.cells[0].textContent);
}
function click(table, name) {
  const heading = Array.from(table.tHead.rows[0].cells).find((c) => c.textContent === name);
  heading.querySelector("button").click();
  return [heading.getAttribute("aria-sort"), names(table)];
}
function find(page, text) {
  const search = page.getElementById("search");
  search.value = text;
  search.dispatchEvent(new Event("input"));
  return [names(page.querySelector("[data-searched]")), page.getElementById("found").textContent];
}
function probe(frame) {
  const page = frame.contentDocument;
  return {
    width: frame.contentWindow.innerWidth, scrollWidth: page.scrollingElement.scrollWidth,
    images: Array.from(page.images, (image) => image.naturalWidth),
    ...(SCRIPT)(page),
  };
}
addEventListener("load", () => {
  const frames = Array.from(document.querySelectorAll("iframe"));
  document.getElementById("result").textContent = JSON.stringify(frames.map(probe));
});
</script>
"""


def browse(html, script, folder):
    """What a script finds in a page at each of `WIDTHS`, with its width and images.

    Args:
        html: the page.
        script: JavaScript function of its document, returning an object; it may call ``names``,
            ``click`` and ``find``.
        folder: for Chromium's files.
    """
    frames = "".join(FRAME.format(width, escape(html)) for width in WIDTHS)
    probe = PROBE.replace("SCRIPT", script)
    path = folder / "probe.html"
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8>{frames}{probe}", encoding="utf-8")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [CHROMIUM, *FLAGS, profile, "--dump-dom", f"file://{path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(unescape(re.search(r'<pre id="result">(.+?)</pre>', done.stdout)[1]))
    assert [result["width"] for result in found] == list(WIDTHS)
    for result in found:
        assert result["scrollWidth"] <= result["width"]
        assert min(result["images"]) > 0
    return found

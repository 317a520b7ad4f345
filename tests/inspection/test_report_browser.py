"""A report in a real browser: nothing is fetched, nothing runs, nothing is wider than the screen.

Needs Chromium; the audit needs axe-core too: its ``axe.min.js``, named by ``AXE_CORE`` (npm install
axe-core, in any folder).
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from curate.core.columns import IMAGE, URL
from curate.core.selection import select
from curate.core.table import CommittedTable
from curate.inspection.report import make_report
from curate.stages.selectors.threshold import Config
from tests.core.tables import Row, Text, commit_table
from tests.images.pictures import jpeg
from tests.inspection.test_score_samples import plant_canaries

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
AXE = os.environ.get("AXE_CORE", "")
EVIL = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--virtual-time-budget=10000", "--hide-scrollbars"),
)
_MEASURE = """
<script>addEventListener("load", async () => {
  const wide = [...document.querySelectorAll("main *")].filter((one) =>
    !one.closest(".scroll") && !one.closest("pre") && one.getClientRects().length &&
    one.getBoundingClientRect().right > innerWidth + 1);
  const found = {
    title: document.title,
    wide: wide.map((one) => one.outerHTML.slice(0, 120)),
    page: document.documentElement.scrollWidth - innerWidth,
    background: getComputedStyle(document.body).backgroundColor,
    broken: [...document.images].filter((one) => !one.naturalWidth).length,
    pictures: document.images.length,
    requests: performance.getEntriesByType("resource").map((one) => one.name)
      .filter((name) => !name.startsWith("data:") && !name.endsWith("axe.min.js")),
    faults: self.axe ? (await axe.run()).violations.map((one) =>
      [one.id, one.help, one.nodes.map((node) => node.html.slice(0, 160))]) : null,
  };
  const out = document.createElement("pre");
  out.id = "measured";
  out.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(found))));
  document.body.append(out);
});</script>
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("report")
    rows = [
        Row(
            [Text(f"{EVIL} {n}", 0.04 * n), Text("a dog " * 40, 1 - 0.04 * n, "synthetic")],
            extra={"image": jpeg(n), "url": f"http://host{n}.test/{'long' * 60}"},
        )
        for n in range(25)
    ]
    table = commit_table(root / "run", [rows], extra=[URL, IMAGE])
    plant_canaries(table, [0.1, 0.2, 0.7])
    config = Config(column="x_itm", min=0.4)
    select(table, config.build(), config.model_dump(), name="default")
    (root / "run" / "recipe.yaml").write_text("name: table\n" + "# " + "long " * 100)
    rounds = [
        {"round": n, "noise": {"web": 0.4, "synthetic": 0.2}, "kept": {"web": 9}, "threshold": 0.4}
        for n in (1, 2)
    ]
    (root / "bootstrap.json").write_text(json.dumps({"rounds": rounds, "alarms": ["look"]}))
    return make_report(CommittedTable.open(root / "run")).html


def _opened(html: str, folder: Path, *options: str) -> dict[str, Any]:
    """Open the page as it is but for a policy that lets the measuring script in."""
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    assert len(policy.findall(html)) == 1
    audit = f"<script>{Path(AXE).read_text(encoding='utf-8')}</script>" if AXE else ""
    page = folder / "page.html"
    page.write_text(policy.sub("", html).replace("</head>", f"{audit}{_MEASURE}</head>"))
    dumped = _browser(folder, page, "--dump-dom", *options)
    said = re.search(r'<pre id="measured">([^<]*)</pre>', dumped)
    assert said is not None, dumped[-2000:]
    found: dict[str, Any] = json.loads(base64.b64decode(said[1]))
    return found


def _browser(folder: Path, page: Path, *options: str) -> str:
    assert BROWSER is not None
    done = subprocess.run(
        [BROWSER, *_QUIET, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("width", [500, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser(html: str, tmp_path: Path, width: int, dark: bool) -> None:
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    found = _opened(html, tmp_path, f"--window-size={width},900", scheme)
    assert found["title"] == "table: report"
    assert found["requests"] == []
    assert (found["broken"], found["pictures"] > 20) == (0, True)
    assert found["wide"] == []
    assert found["page"] <= 0
    assert found["background"] == ("rgb(21, 23, 26)" if dark else "rgb(251, 250, 247)")
    if AXE:
        assert found["faults"] == []


def test_the_policy_lets_the_style_in_and_no_script(html: str, tmp_path: Path) -> None:
    """As it is written: the style's hash is right, and a script that got in would not run."""
    page = tmp_path / "page.html"
    script = "<script>document.documentElement.setAttribute('data-taken', '1')</script>"
    page.write_text(html.replace("</body>", f"{script}</body>"))
    assert "data-taken=" not in _browser(tmp_path, page, "--dump-dom")
    page.write_text(re.sub(r"<meta http-equiv[^>]*>", "", html).replace("</body>", script))
    assert "data-taken=" in _browser(tmp_path, page, "--dump-dom")  # the test can fail
    styled = tmp_path / "styled.png"
    page.write_text(html)
    _browser(tmp_path, page, f"--screenshot={styled}", "--window-size=600,600")
    with Image.open(styled) as picture:
        assert picture.convert("RGB").getpixel((2, 2)) == (251, 250, 247)

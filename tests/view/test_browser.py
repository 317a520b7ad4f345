"""The application in a real browser, by the paths a user takes.

Needs Chromium and Playwright (``pip install 'curate[browser]'``); the audit needs axe-core too: its
``axe.min.js``, named by ``AXE_CORE`` (npm install axe-core, in any folder). ``SCREENSHOTS`` names a
folder to leave pictures in, to be looked at.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from curate.core.columns import IMAGE, URL, WIDTH, embedding
from curate.inspection.score_samples import read_labels
from tests.core.tables import Row, Text, commit_table
from tests.images.pictures import jpeg
from tests.inspection.index.material import embedded
from tests.view.serving import Server, pairs_of, serving

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
AXE = os.environ.get("AXE_CORE", "")
SCREENSHOTS = os.environ.get("SCREENSHOTS", "")
EVIL = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
NUM_IMAGES = 60
#: What the console says of requests that a test makes fail on purpose.
EXPECTED = ("Failed to load resource", "Executing inline event handler", "Refused to execute")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is missing: pip install 'curate[browser]'"
    )
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    rows = []
    for n in range(NUM_IMAGES):
        vector = np.eye(4, dtype=np.float16)[n % 4]
        extra = {"url": f"http://h{n % 3}.test/{EVIL if n == 1 else n}", "width": 100 + n}
        texts = [
            Text(EVIL if n == 1 else f"a dog number {n}", n / NUM_IMAGES),
            Text("a cat " * (40 if n == 2 else 1), 1 - n / NUM_IMAGES, "synthetic"),
        ]
        rows.append(Row(texts, extra={**extra, "image": jpeg(n), "x_embed": vector}))
    table = commit_table(
        tmp_path / "run", [rows], extra=[URL, WIDTH, IMAGE, embedding("x_embed", 4)]
    )
    with serving(pairs_of(table)) as running:
        yield running


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    opened.goto(server.guard.address)
    opened.wait_for_selector("article")
    yield opened
    context.close()
    assert [fault for fault in faults if not fault.startswith(EXPECTED)] == []


def until(page: Any, expression: str) -> None:
    """Wait until an expression is true; Playwright's own waiting needs what the policy forbids."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never came true: {expression}")


def total(page: Any, wanted: str) -> None:
    """Wait until the page says how many pairs there are."""
    until(page, f"document.querySelector('#status').textContent.startsWith({json.dumps(wanted)})")


def texts(page: Any) -> list[str]:
    found: list[str] = page.locator("#results .text").all_text_contents()
    return found


def effect(page: Any, name: str) -> str:
    wanted = f"#effect div:has(dt:text-is('{name}')) dd"
    return str(page.locator(wanted).text_content())


def test_the_token_does_not_stay_in_the_address(page: Any, server: Server) -> None:
    assert page.url == f"http://127.0.0.1:{server.guard.port}{server.guard.base}/"
    assert page.title() == "table: pairs"
    assert page.evaluate("document.cookie") == ""  # no script reads it


class _Spy(BaseHTTPRequestHandler):
    """A server of somebody else on this machine."""

    sent: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.sent.append(self.headers.get("Cookie", ""))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def test_another_server_of_this_machine_is_not_sent_the_token(page: Any, server: Server) -> None:
    """Cookies are shared by all ports of a host."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Spy) as spy:
        threading.Thread(target=spy.serve_forever).start()
        other = page.context.new_page()
        other.goto(f"http://127.0.0.1:{spy.server_port}/static/main.js")
        other.goto(f"http://127.0.0.1:{spy.server_port}/")
        spy.shutdown()
    assert len(_Spy.sent) >= 2
    assert not any(server.guard.token in cookie for cookie in _Spy.sent)


def test_filters_are_added_and_removed(page: Any) -> None:
    total(page, "120 pairs")
    page.select_option("#filter-column", "source")
    assert page.locator("#filter-choice option").all_text_contents() == ["synthetic", "web"]
    page.select_option("#filter-choice", "web")
    page.click("text=Add filter")
    total(page, "60 pairs")
    page.select_option("#filter-column", "x_itm")
    page.fill("#filter-value", "0.5")
    page.click("text=Add filter")
    total(page, "30 pairs")
    assert effect(page, "pairs that remain").startswith("100.0%")
    page.select_option("#filter-column", "url")
    page.select_option("#filter-operator", "contains")
    page.fill("#filter-value", "' OR 1=1 --")
    page.click("text=Add filter")
    total(page, "no pair is like that")
    for left in ("30 pairs", "60 pairs", "120 pairs"):
        page.locator("#filters button").last.click()
        total(page, left)


def test_sort_and_pages(page: Any) -> None:
    page.select_option("#sort", "x_itm")
    until(page, "document.querySelector('#results .text').textContent.includes('cat')")
    scores = [
        float(about.rsplit("x_itm\u00a0", 1)[1])
        for about in page.locator("#results .about").all_text_contents()
    ]
    assert scores == sorted(scores, reverse=True)
    assert page.locator("#where").text_content() == "1 to 48 of 120"
    page.click("#next")
    until(page, "document.querySelector('#where').textContent.startsWith('49')")
    # whoever turns a page by key or button is on its first pair
    until(page, "document.activeElement.dataset.at === '0'")
    page.keyboard.press("n")
    until(page, "document.querySelector('#where').textContent === '97 to 120 of 120'")
    assert page.locator("#next").is_disabled()
    page.fill("#go", "2")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#where').textContent === '1 to 48 of 120'")


def test_marking_and_moving_the_threshold_stay_on_the_page(page: Any) -> None:
    page.click("#next")
    until(page, "document.querySelector('#where').textContent.startsWith('49')")
    page.locator("article button.good").first.click()
    until(page, "document.querySelector('#marks').textContent.startsWith('1 good')")
    page.focus("#slider")
    page.keyboard.press("Home")
    until(page, "document.querySelector('#effect').textContent.includes('100.0%')")
    page.wait_for_timeout(300)  # the list would follow by now
    page.click("#next")
    until(page, "document.querySelector('#where').textContent === '97 to 120 of 120'")


def test_no_pair_is_passed_over_when_marks_take_others_out_of_the_list(page: Any) -> None:
    page.select_option("#filter-column", "mark")
    page.select_option("#filter-operator", "missing")
    page.click("text=Add filter")
    total(page, "120 pairs")
    for at in range(3):
        page.locator("article button.good").nth(at).click()
    until(page, "document.querySelector('#marks').textContent.startsWith('3 good')")
    page.click("#next")
    until(page, "document.querySelector('#where').textContent === '46 to 93 of 117'")
    page.click("#previous")
    until(page, "document.querySelector('#where').textContent === '1 to 48 of 117'")


def test_search_by_words_and_by_likeness(page: Any) -> None:
    page.fill("#words", '"dog number" 7')
    page.keyboard.press("Enter")
    total(page, "1 pairs")
    assert texts(page) == ["a dog number 7"]
    page.click("text=Similar")
    total(page, "120 pairs")
    assert "like “a dog number 7”" in str(page.locator("#near").text_content())
    assert "match" in str(page.locator("#results .about").first.text_content())
    page.click("#search-clear")
    page.wait_for_selector("#near", state="hidden")
    assert page.locator("#words").input_value() == ""
    page.fill("#words", "-dog")
    page.click("#search button.primary")
    page.wait_for_selector("#error:visible")
    assert "add a word to look for" in str(page.locator("#error").text_content())


def test_search_by_a_picture_of_ones_own_and_by_what_words_describe(
    browser: Any, tmp_path: Path
) -> None:
    table = embedded(tmp_path / "run")
    (tmp_path / "mine.png").write_bytes(table.rows(0, ["image"])["image"][4].as_py())
    with serving(pairs_of(table)) as server:
        page = browser.new_context().new_page()
        page.goto(server.guard.address)
        total(page, "6 pairs")
        page.set_input_files("#picture", tmp_path / "mine.png")
        page.wait_for_selector("#near:visible")
        until(page, "document.querySelector('#results .about').textContent.includes('match')")
        assert texts(page)[0] == "DSC_0012.jpg"  # the text of that picture
        page.check("input[value=meaning]")
        page.fill("#words", "a small house")
        page.keyboard.press("Enter")
        page.wait_for_selector("#near", state="hidden")
        until(page, "document.querySelector('#results .about').textContent.includes('match')")
        page.context.close()


def test_the_threshold_says_what_it_would_do(page: Any) -> None:
    assert page.locator("#value").input_value() == "0.45"
    assert effect(page, "change side").startswith("0")
    assert page.locator("#histogram rect").count() > 20
    page.fill("#value", "0.8")
    page.keyboard.press("Enter")
    until(
        page,
        "[...document.querySelectorAll('#effect dd')].some((one) => one.textContent.includes('newly dropped') && !one.textContent.startsWith('0'))",  # noqa: E501
    )
    assert effect(page, "pairs that remain").startswith("20.8%25 of 120")
    assert effect(page, "change side").startswith("400 newly kept, 40 newly dropped")
    page.check("#only-shifted")
    total(page, "40 pairs")
    page.focus("#slider")
    page.keyboard.press("Home")
    total(page, "55 pairs")  # those that the selection drops
    page.select_option("#against", "")
    total(page, "120 pairs")


def test_marks_by_button_and_key_calibrate_and_are_exported(
    page: Any, server: Server, tmp_path: Path
) -> None:
    first = page.locator("article").first
    first.get_by_role("button", name="Good").click()
    page.wait_for_selector("article .mark.good[aria-pressed=true]")
    first.focus()
    page.keyboard.press("ArrowRight")
    for key in "bgb":
        page.keyboard.press(key)
    until(page, "document.querySelector('#marks').textContent.startsWith('2 good, 2 bad')")
    assert page.evaluate("document.activeElement.dataset.at") == "4"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("u")
    until(page, "document.querySelector('#marks').textContent.startsWith('2 good, 1 bad')")
    page.click("#undo")
    until(page, "document.querySelector('#marks').textContent.startsWith('2 good, 2 bad')")
    page.click("text=What the marks say of this score")
    page.wait_for_selector("#calibrated table")
    assert "4 marked pairs, 2 of them bad" in str(page.locator("#calibrated").text_content())
    with page.expect_download() as waiting:
        page.click("text=Export as JSONL")
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    assert path.name == "marks.jsonl"
    assert len(read_labels(path)) == 4
    page.reload()
    page.wait_for_selector("article .mark.good[aria-pressed=true]")
    assert page.locator(".mark.good[aria-pressed=true]").count() == 2


def test_markup_in_a_text_stays_text(page: Any) -> None:
    assert EVIL in texts(page)
    page.locator("article", has_text="document.title").first.locator(".picture").click()
    page.wait_for_selector("#details[open]")
    assert EVIL in str(page.locator("#details-body").text_content())
    until(page, "document.querySelector('#details-body img').naturalWidth > 0")
    assert page.title() == "table: pairs"
    assert page.locator("main script, dialog script, main img[src=x]").count() == 0
    page.keyboard.press("Escape")
    page.wait_for_selector("#details", state="hidden")
    assert page.evaluate("document.activeElement.classList.contains('picture')")


def test_a_script_that_did_get_in_would_not_run(page: Any) -> None:
    """The policy has the last word."""
    ran = page.evaluate("""() => new Promise((resolve) => {
      document.addEventListener("securitypolicyviolation", (event) => resolve(event.blockedURI));
      const made = document.createElement("div");
      made.innerHTML = `<button onclick="document.title=1">x</button>`;
      document.body.append(made);
      made.firstChild.click();
    })""")
    assert ran == "inline"
    assert page.title() == "table: pairs"


def test_nothing_comes_from_elsewhere(page: Any, server: Server) -> None:
    names = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    assert len(names) > 8
    assert all(name.startswith(f"http://127.0.0.1:{server.guard.port}/") for name in names)


def test_pictures_are_read_when_they_come_into_sight(page: Any) -> None:
    page.wait_for_timeout(500)
    seen = "performance.getEntriesByType('resource').filter((one) => one.name.includes('/thumb/'))"
    before = page.evaluate(f"{seen}.length")
    assert 0 < before < 24  # of a page of 48 pairs, 24 pictures
    page.locator("article").last.scroll_into_view_if_needed()
    until(page, f"{seen}.length > {before}")


def test_keys_reach_the_search_and_the_help(page: Any) -> None:
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "words"
    page.keyboard.type("a/b")
    assert page.locator("#words").input_value() == "a/b"
    page.click("#keys-open")
    page.wait_for_selector("#keys[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#keys", state="hidden")


@pytest.mark.parametrize("width", [390, 820, 1360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_looks(browser: Any, server: Server, width: int, scheme: str) -> None:
    """Nothing is wider than the screen, and axe finds no fault with the page in any state."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=bool(AXE)
    )
    page = context.new_page()
    page.goto(server.guard.address)
    page.wait_for_selector("#effect div")
    page.locator("article .mark").first.click()
    page.locator("article .mark").nth(3).click()
    page.wait_for_selector("article .mark.bad[aria-pressed=true]")
    closed = page.locator("details:not([open]) > summary")
    while closed.count():
        closed.first.click()
    page.select_option("#filter-column", "source")
    page.click("text=Add filter")
    page.wait_for_selector("#filters li")
    states = {"page": "", "pair": "article .picture", "keys": "#keys-open"}
    for name, opens in states.items():
        if opens:
            page.locator(opens).first.click()
            page.wait_for_selector("dialog[open]")
            page.wait_for_timeout(300)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, name
        if SCREENSHOTS:
            shot = Path(SCREENSHOTS) / f"{name}-{scheme}-{width}.png"
            page.screenshot(path=shot, full_page=not opens)
        if AXE:
            page.evaluate(Path(AXE).read_text(encoding="utf-8"))
            found = page.evaluate("axe.run()")["violations"]
            said = [(one["id"], [n["html"][:150] for n in one["nodes"]]) for one in found]
            assert said == [], f"{name}: {json.dumps(said, indent=1)}"
        if opens:
            page.keyboard.press("Escape")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(21, 23, 26)" if scheme == "dark" else "rgb(251, 250, 247)")
    context.close()

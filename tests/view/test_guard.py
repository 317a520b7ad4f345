"""Who is let in: each way of asking that is not the page's is refused, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from curate.inspection.marks import read_marks
from curate.view.guard import HEADER, Guard
from tests.inspection.index.material import made
from tests.view.serving import Server, pairs_of, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(pairs_of(made(tmp_path_factory.mktemp("run")))) as running:
        yield running


def test_the_token_becomes_a_cookie_and_leaves_the_address(server: Server) -> None:
    answer = server.ask("GET", f"/?token={server.guard.token}", plain=True, base="")
    assert (answer.status, answer.headers["Location"]) == (303, f"{server.guard.base}/")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"curate_view_{server.guard.port}={server.guard.token};")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert f"Path={server.guard.base}/;" in cookie
    assert server.guard.address.endswith(f"/?token={server.guard.token}")
    named = {"Cookie": cookie.split(";")[0]}
    assert server.ask("GET", "/", headers=named, plain=True).status == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/static/main.js", "/api/state", "/thumb/0/0", "/api/marks.jsonl", "/?token=wrong"],
)
def test_without_the_token_nothing_is_answered(server: Server, path: str) -> None:
    answer = server.ask("GET", path, plain=True)
    assert answer.status == 403
    assert "open the address" in answer.json["error"]
    assert server.ask("GET", path, plain=True, base="").status == 403
    stale = {"Cookie": f"{server.guard.cookie}=old"}
    assert server.ask("GET", path, headers=stale, plain=True).status == 403


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1", "127.0.0.1:1", "evil.test:{port}", ""])
def test_a_name_pointed_at_this_machine_is_refused(server: Server, host: str) -> None:
    headers = {"Host": host.format(port=server.guard.port)}
    answer = server.ask("GET", "/api/state", headers=headers)
    assert answer.status == 403
    assert "not the application's" in answer.json["error"]
    headers = {"Host": f"localhost:{server.guard.port}"}
    assert server.ask("GET", "/api/state", headers=headers).status == 200


def test_on_the_usual_port_a_browser_does_not_name_it(server: Server) -> None:
    usual = Guard(port=80)
    assert {"127.0.0.1", "127.0.0.1:80"} < usual.hosts
    assert "127.0.0.1" not in server.guard.hosts


@pytest.mark.parametrize(
    "headers",
    [
        {HEADER: ""},
        {HEADER: "wrong"},
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:{port}"},
    ],
)
def test_another_page_changes_nothing(server: Server, headers: Mapping[str, str]) -> None:
    sent = {name: value.format(port=server.guard.port) for name, value in headers.items()}
    answer = server.ask("POST", "/api/mark", {"place": 0, "good": True}, sent)
    assert answer.status == 403
    assert read_marks(server.pairs.table.store.root) == []


def test_every_answer_says_that_nothing_else_may_run(server: Server) -> None:
    for path in ("/", "/api/state", "/thumb/0/0", "/nowhere", "/static/../guard.py"):
        answer = server.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert server.get("/nowhere").status == 404
    assert server.ask("GET", "/api/state", base="").status == 404
    assert server.get("/static/../guard.py").status == 404
    assert server.get("/static/..%2fguard.py").status == 404


def test_each_start_has_secrets_of_its_own(server: Server) -> None:
    guard = Guard()
    assert guard.base not in (server.guard.base, server.guard.token)
    assert guard.token not in (server.guard.token, guard.key)
    assert len(guard.token) > 40

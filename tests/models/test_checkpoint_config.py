from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from curate.core.errors import ModelError
from curate.models.checkpoint_config import read_config

CONFIG = {"model_type": "clip", "projection_dim": 12}
BODY = json.dumps(CONFIG).encode()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Hub(BaseHTTPRequestHandler):
    """Serves one file of one model, as the hub does."""

    def do_GET(self) -> None:
        known = self.path == "/someone/clip/resolve/main/config.json"
        self.send_response(200 if known else 404)
        self.send_header("ETag", '"0a1b"')
        self.send_header("X-Repo-Commit", COMMIT)
        if not known:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", str(len(BODY) if known else 0))
        self.end_headers()
        if known and self.command == "GET":
            self.wfile.write(BODY)

    do_HEAD = do_GET  # noqa: N815 - the name http.server looks for

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def _asked(model: str, cache: Path, endpoint: str) -> str:
    """Return what a fresh process says that reads a config; torch must stay out of it."""
    code = (
        "import sys\n"
        "from curate.core.errors import ModelError\n"
        "from curate.models.checkpoint_config import read_config\n"
        f"try: print(read_config({model!r}, None)['projection_dim'])\n"
        "except ModelError as error: print(error)\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(cache)}
    env |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    return said.stdout.strip()


def test_a_hub_ids_config_is_fetched_alone_and_kept(hub: str, tmp_path: Path) -> None:
    assert _asked("someone/clip", tmp_path, hub) == "12"
    files = [path.name for path in tmp_path.rglob("*") if path.is_symlink()]
    assert files == ["config.json"]
    assert _asked("someone/clip", tmp_path, "http://127.0.0.1:9") == "12", "as downloaded before"


def test_a_model_that_the_hub_does_not_have_is_named(hub: str, tmp_path: Path) -> None:
    said = _asked("someone/else", tmp_path, hub)
    assert said.startswith("the hub refuses the config.json of 'someone/else'")


def test_without_a_network_what_was_never_here_is_named(tmp_path: Path) -> None:
    said = _asked("someone/clip", tmp_path, "http://127.0.0.1:9")
    assert "is not downloaded and the hub cannot be reached" in said


def test_a_folders_config_is_read_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(BODY)
    assert read_config(str(tmp_path), None) == CONFIG


def test_a_folder_without_one_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config\.json"):
        read_config(str(tmp_path), None)

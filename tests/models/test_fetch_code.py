"""A checkpoint's own code leaves the hub only where the recipe trusts it."""

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

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": b'{"model_type": "odd"}',
    "model.safetensors": b"weights",
    "chat_template.jinja": b"{{ messages }}",
    "qformer_tokenizer/tokenizer.json": b"{}",
    "pytorch_model.bin": b"a pickle",
    "odd.py": b"print('a stranger says hello')",
}
SAFE = {"config.json", "model.safetensors", "chat_template.jinja", "tokenizer.json"}


class _Hub(BaseHTTPRequestHandler):
    """Serves one model, as the hub does."""

    def do_GET(self) -> None:
        said = {"id": "someone/odd", "sha": COMMIT, "siblings": [{"rfilename": f} for f in FILES]}
        listing = json.dumps(said).encode()
        tree = [{"type": "file", "path": f, "size": len(b), "oid": "0"} for f, b in FILES.items()]
        if self.path.startswith("/api/models/someone/odd/tree/"):
            body: bytes | None = json.dumps(tree).encode()
        elif self.path.startswith("/api/models/someone/odd"):
            body = listing
        else:
            body = FILES.get(self.path.partition(f"/someone/odd/resolve/{COMMIT}/")[2])
        self.send_response(404 if body is None else 200)
        self.send_header("ETag", f'"{abs(hash(self.path)):x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body or b"")

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


@pytest.mark.parametrize(("code", "wanted"), [(False, SAFE), (True, SAFE | {"odd.py"})])
def test_code_is_fetched_where_it_is_trusted_alone_and_pickles_never(
    code: bool, wanted: set[str], hub: str, tmp_path: Path
) -> None:
    script = (
        "from curate.models.checkpoints import fetch\n"
        f"print(fetch('someone/odd', None, code={code}).signature)\n"
    )
    env = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    env |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1"}
    said = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip() == f"someone/odd@{COMMIT[:12]}"
    snapshot = next(tmp_path.rglob("snapshots")) / COMMIT
    assert {path.name for path in snapshot.rglob("*") if not path.is_dir()} == wanted

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch

from curate.core.errors import ModelError
from curate.models import checkpoints
from curate.models.checkpoint_digest import folder_digest
from curate.models.checkpoints import check_folder, digest, fetch, problems
from curate.models.loading import choose_device, choose_dtype, load_tokenizer, open_checkpoint
from tests.models.checkpoints import tiny_blip_scorer
from tests.models.tiny_scorers import tiny_siglip

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _accepting(model_type: str) -> list[str]:
    return [f"captioner {model_type!r}"] if model_type == "med" else []


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "curate" / "digests"


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_blip_scorer(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(_made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_made, tmp_path / "tiny"))


def _config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_good_folder_has_no_problems(folder: Path) -> None:
    assert problems(str(folder), ("blip",), _accepting) == []


def test_a_folder_without_weights_is_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (said,) = problems(str(folder), ("blip",), _accepting)
    assert said == f"{folder} has no weights: there is no *.safetensors file in it"


def test_pickled_weights_are_never_read(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weight": torch.zeros(1)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only pickled weights \(pytorch_model.bin\)"):
        check_folder(folder, ("blip",), _accepting)


def test_another_family_is_told_who_would_take_it(folder: Path) -> None:
    _config(folder, model_type="med")
    with pytest.raises(ModelError, match="expected is blip: captioner 'med' accepts 'med'"):
        check_folder(folder, ("blip",), _accepting)


def test_a_family_nobody_takes_is_said_so(folder: Path) -> None:
    _config(folder, model_type="gpt2")
    with pytest.raises(ModelError, match="no stage here accepts 'gpt2'"):
        check_folder(folder, ("blip",), _accepting)


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config\.json"):
        check_folder(tmp_path, ("blip",), _accepting)


def test_a_damaged_config_is_named(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        check_folder(folder, ("blip",), _accepting)


def test_a_missing_shard_is_named(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"names 'model-00002\.safetensors', which is not there"):
        check_folder(folder, ("blip",), _accepting)


def test_a_path_that_is_not_there_is_named() -> None:
    (said,) = problems("./no/such/folder", ("blip",), _accepting)
    assert "no checkpoint folder 'no/such/folder'" in said


def test_a_plain_name_is_no_hub_id() -> None:
    (said,) = problems("curate-tinny", ("med",), _accepting)
    assert "no checkpoint folder 'curate-tinny', a hub id has the form OWNER/NAME" in said


def test_a_missing_tokenizer_is_named(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match="has no tokenizer"):
        load_tokenizer(fetch(str(folder), None))


def test_a_damaged_tokenizer_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("[]")
    with pytest.raises(ModelError, match="no usable tokenizer"):
        load_tokenizer(fetch(str(folder), None))


def test_a_tokenizer_whose_package_is_missing_says_what_to_install(tmp_path: Path) -> None:
    folder = tiny_siglip(tmp_path / "m")
    code = (
        "import sys; sys.modules['sentencepiece'] = None\n"
        "from curate.core.errors import ModelError\n"
        "from curate.models.checkpoints import fetch\n"
        "from curate.models.loading import load_tokenizer\n"
        f"try: load_tokenizer(fetch({str(folder)!r}, None))\n"
        "except ModelError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip().endswith("pip install 'curate[siglip]'")


def test_a_digest_changes_with_content_and_only_with_it(folder: Path, cache: Path) -> None:
    before = folder_digest(folder)
    weights = folder / "model.safetensors"
    os.utime(weights, ns=(1, 1))
    assert folder_digest(folder) == before
    (folder / "README.md").write_text("a card decides nothing")
    assert folder_digest(folder) == before
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert folder_digest(folder) != before


def test_a_moved_folder_keeps_its_digest(folder: Path, tmp_path: Path, cache: Path) -> None:
    before = folder_digest(folder)
    assert folder_digest(folder.rename(tmp_path / "other")) == before


def test_digests_are_cached_by_sizes_and_times(folder: Path, cache: Path) -> None:
    folder_digest(folder)
    (entry,) = cache.glob("*.json")
    entry.write_text(json.dumps({**json.loads(entry.read_text()), "digest": "from the cache"}))
    assert folder_digest(folder) == "from the cache"
    os.utime(folder / "config.json", ns=(5, 5))
    assert folder_digest(folder) != "from the cache"


def test_a_damaged_cache_only_costs_time(folder: Path, cache: Path) -> None:
    before = folder_digest(folder)
    (entry,) = cache.glob("*.json")
    entry.write_text("{")
    assert folder_digest(folder) == before


def test_a_checkpoint_is_signed_with_name_and_short_digest(folder: Path, cache: Path) -> None:
    checkpoint = open_checkpoint(str(folder), None, ("blip",), _accepting)
    assert checkpoint.signature == f"tiny@{folder_digest(folder)[:12]}"


class _Hub(BaseHTTPRequestHandler):
    """Answers the one question that is asked of the hub before a download."""

    def do_GET(self) -> None:
        known = self.path == "/api/models/someone/blip/revision/main"
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"sha": COMMIT}).encode() if known else b"{}")

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    checkpoints._hub_commit.cache_clear()
    yield
    server.shutdown()
    server.server_close()
    thread.join()
    checkpoints._hub_commit.cache_clear()


def test_a_hub_id_is_identified_by_its_commit(hub: None) -> None:
    assert digest("someone/blip", None) == COMMIT


def test_a_hub_id_that_does_not_exist_is_named(hub: None) -> None:
    with pytest.raises(ModelError, match="the hub has no 'someone/else' at revision 'v2'"):
        digest("someone/else", "v2")


def test_a_commit_needs_no_network() -> None:
    assert digest("someone/other", COMMIT) == COMMIT


def test_without_a_network_an_unknown_model_stays_unresolved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    checkpoints._hub_commit.cache_clear()
    assert digest("someone/never-downloaded", None) == "unresolved"
    checkpoints._hub_commit.cache_clear()


def test_a_hub_id_is_not_judged_before_it_is_here() -> None:
    assert problems("someone/never-downloaded", ("blip",), _accepting) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModelError, match="sees no GPU"):
        choose_device("cuda")
    assert choose_device("auto") == torch.device("cpu")


def test_types_of_weights_follow_the_device() -> None:
    cpu = torch.device("cpu")
    assert choose_dtype("auto", cpu) == torch.float32
    assert choose_dtype("bfloat16", cpu) == torch.bfloat16
    with pytest.raises(ModelError, match="float16 is for GPUs"):
        choose_dtype("float16", cpu)

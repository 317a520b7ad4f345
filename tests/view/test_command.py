from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from click.testing import CliRunner

from curate.cli import main
from curate.inspection.marks import Marks
from curate.view.command import view_command
from tests.inspection.index.material import made


def test_it_serves_until_it_is_asked_to_stop(tmp_path: Path) -> None:
    made(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "curate.cli", "view", str(tmp_path), "--no-browser", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["pairs"] == 6
        address = urlsplit(said["address"])
        assert address.hostname == "127.0.0.1"
        connection = http.client.HTTPConnection("127.0.0.1", address.port or 0, timeout=30)
        connection.request("GET", f"/?{address.query}")
        response = connection.getresponse()
        assert response.status == 303
        connection.close()
        with socket.socket() as other:  # no other address of this machine answers
            other.settimeout(5)
            assert other.connect_ex(("127.0.0.2", address.port or 0)) != 0
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "6 pairs of 4 images" in errors
    assert "stopped; all marks are saved" in errors
    assert "Traceback" not in errors


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    made(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = ["view", str(tmp_path), "--no-browser", "--port", str(port)]
        result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert f"cannot listen on port {port}" in result.output
    assert "give another --port" in result.output


def test_marks_are_exported_without_looking(tmp_path: Path) -> None:
    made(tmp_path / "run")
    marks = Marks(tmp_path / "run", by="ada")
    marks.set("0-0", "A red dog.", True)
    path = tmp_path / "marks.jsonl"
    command = ["view", str(tmp_path / "run"), "--export-marks", str(path)]
    result = CliRunner().invoke(main, command)
    assert result.output == f"1 marks written to {path}\n"
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["good"] is True
    assert not (tmp_path / "run" / "view").exists()
    result = CliRunner().invoke(main, [*command, "--json"])
    assert json.loads(result.output) == {"marks": 1, "file": str(path)}
    for idle in (["--port", "8000"], ["--no-browser"], ["--index", "x"], ["--by", "bea"]):
        result = CliRunner().invoke(main, [*command, *idle])
        assert result.exit_code == 2
        assert f"{idle[0]} has no effect" in result.output


def test_every_option_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "view.md").read_text(encoding="utf-8")
    table = page.split("| --- | --- | --- |\n", 1)[1].split("\n\n", 1)[0]
    named = [line.split("`")[1] for line in table.splitlines()]
    options = [
        one.opts[0].removeprefix("--") for one in view_command.params if one.opts[0] != "run_folder"
    ]
    assert sorted(named) == sorted(options)


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["view", str(tmp_path), "--no-browser"])
    assert result.exit_code == 2
    assert "holds no run" in result.output


def test_an_index_that_cannot_be_kept_there(tmp_path: Path) -> None:
    made(tmp_path / "run")
    (tmp_path / "file").write_text("")
    command = ["view", str(tmp_path / "run"), "--no-browser"]
    result = CliRunner().invoke(main, [*command, "--index", str(tmp_path / "file" / "x")])
    assert result.exit_code == 2
    assert "cannot write" in result.output
    assert not (tmp_path / "run" / "view").exists()

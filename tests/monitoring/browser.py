"""A headless Chromium, spoken to by its DevTools protocol."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.engine.clusters import free_port
from tests.monitoring.servers import fetch_json, until


def evaluated(page: str, steps: list[str], profile: Path) -> Any:
    """Open a page and evaluate JavaScript on it, each step until it gives something; the last.

    Skips the test where there is no Chromium.
    """
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    port = free_port()
    process = subprocess.Popen(
        [
            *(program, "--headless=new", "--no-sandbox", "--disable-gpu"),
            *(f"--remote-debugging-port={port}", f"--user-data-dir={profile}", page),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        tabs = f"http://127.0.0.1:{port}/json"
        found = until(
            lambda: [tab for tab in fetch_json(tabs) if tab["type"] == "page"],
            seconds=60,
            said="no browser",
        )
        return asyncio.run(_evaluate(found[0]["webSocketDebuggerUrl"], steps))
    finally:
        process.kill()
        process.wait()


async def _evaluate(address: str, steps: list[str]) -> Any:
    value: Any = None
    async with aiohttp.ClientSession() as session, session.ws_connect(address) as socket:
        for number, step in enumerate(steps):
            for attempt in range(200):
                params = {"expression": step, "returnByValue": True}
                asked = number * 1000 + attempt + 1
                await socket.send_json(
                    {"id": asked, "method": "Runtime.evaluate", "params": params}
                )
                answer = await socket.receive_json(timeout=30)
                assert answer["id"] == asked
                value = answer["result"]["result"].get("value")
                if value:
                    break
                await asyncio.sleep(0.3)
            assert value, f"nothing came of {step}"
    return value

"""The application: what each address answers. Work is done in threads, so that no request waits."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

from aiohttp import web

from curate.inspection.index.effects import calibrated, effect, histogram
from curate.inspection.index.pairs import Pairs
from curate.inspection.report_style import STYLE
from curate.view import answers
from curate.view.guard import Guard
from curate.view.pictures import LARGE, SMALL, Pictures
from curate.view.questions import (
    CalibrationAsked,
    EffectAsked,
    HistogramAsked,
    MarkAsked,
    PageAsked,
    asked,
)

_STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
#: Greatest question, and greatest picture to search by, bytes.
_MOST_JSON, _MOST_PICTURE = 1_000_000, 50_000_000
_KEEP = "private, max-age=86400"


class Application:
    """A run's pairs behind HTTP."""

    def __init__(self, pairs: Pairs, guard: Guard) -> None:
        self._pairs = pairs
        self._guard = guard
        self._pictures = Pictures(pairs.table)
        self._files = {path.name: path.read_bytes() for path in _STATIC.iterdir()}
        self._files["report.css"] = STYLE.encode()

    def build(self) -> web.Application:
        """Return the application with all of its addresses."""
        app = web.Application(middlewares=[self._guard.middleware], client_max_size=_MOST_PICTURE)
        base = self._guard.base
        image = r"{partition:\d{1,9}}/{row:\d{1,9}}"
        app.router.add_get(f"{base}/", self._index)
        app.router.add_get(f"{base}/static/{{name}}", self._static)
        app.router.add_get(f"{base}/api/state", self._state)
        app.router.add_get(base + r"/api/pair/{place:\d{1,18}}", self._details)
        app.router.add_get(f"{base}/api/marks.jsonl", self._export)
        app.router.add_get(f"{base}/thumb/{image}", self._small)
        app.router.add_get(f"{base}/picture/{image}", self._large)
        app.router.add_post(f"{base}/api/page", self._page)
        app.router.add_post(f"{base}/api/effect", self._effect)
        app.router.add_post(f"{base}/api/histogram", self._histogram)
        app.router.add_post(f"{base}/api/calibrate", self._calibrate)
        app.router.add_post(f"{base}/api/mark", self._mark)
        app.router.add_post(f"{base}/api/undo", self._undo)
        app.router.add_post(f"{base}/api/picture", self._picture)
        return app

    # -- the page -----------------------------------------------------------------------------

    async def _index(self, request: web.Request) -> web.Response:
        return self._file("index.html")

    async def _static(self, request: web.Request) -> web.Response:
        return self._file(request.match_info["name"])

    def _file(self, name: str) -> web.Response:
        if name not in self._files:
            raise web.HTTPNotFound(reason="there is no such file")
        kind = _TYPES[Path(name).suffix]
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8")

    # -- looking --------------------------------------------------------------------------------

    async def _state(self, request: web.Request) -> web.Response:
        def look() -> dict[str, Any]:
            self._pairs.look_for_selections()
            said = answers.state(self._pairs)
            return {**said, "pictures": self._pictures.there, "marks": answers.marks(self._pairs)}

        return _json({**await asyncio.to_thread(look), "key": self._guard.key})

    async def _page(self, request: web.Request) -> web.Response:
        wanted: PageAsked = asked(PageAsked, await _body(request))
        query = wanted.query.read()

        def look() -> dict[str, Any]:
            answer = self._pairs.answer(query)
            return answers.page(self._pairs, answer, wanted.start, wanted.count)

        return _json(await asyncio.to_thread(look))

    async def _details(self, request: web.Request) -> web.Response:
        place = int(request.match_info["place"])
        if place >= len(self._pairs.index):
            raise web.HTTPNotFound(reason="there is no such pair")
        return _json(await asyncio.to_thread(lambda: answers.details(self._pairs, place)))

    async def _effect(self, request: web.Request) -> web.Response:
        wanted: EffectAsked = asked(EffectAsked, await _body(request))
        query, threshold = wanted.query.read(), wanted.threshold.read()
        return _json(
            await asyncio.to_thread(lambda: answers.effects(effect(self._pairs, query, threshold)))
        )

    async def _histogram(self, request: web.Request) -> web.Response:
        wanted: HistogramAsked = asked(HistogramAsked, await _body(request))
        query = wanted.query.read()
        return _json(
            await asyncio.to_thread(
                lambda: answers.scores(histogram(self._pairs, query, wanted.column))
            )
        )

    # -- pictures -------------------------------------------------------------------------------

    async def _small(self, request: web.Request) -> web.Response:
        return await self._jpeg(request, SMALL)

    async def _large(self, request: web.Request) -> web.Response:
        return await self._jpeg(request, LARGE)

    async def _jpeg(self, request: web.Request, side: int) -> web.Response:
        partition, row = (int(request.match_info[name]) for name in ("partition", "row"))
        body = await asyncio.to_thread(lambda: self._pictures.jpeg(partition, row, side))
        if body is None:
            raise web.HTTPNotFound(reason="there is no such picture")
        headers = {"Cache-Control": _KEEP}
        return web.Response(body=body, content_type="image/jpeg", headers=headers)

    async def _picture(self, request: web.Request) -> web.Response:
        body = await request.read()

        def encode() -> str:
            name = secrets.token_hex(8)
            self._pairs.remember(name, self._pairs.search.vector_of(body))
            return name

        return _json({"picture": await asyncio.to_thread(encode)})

    # -- marks ----------------------------------------------------------------------------------

    async def _mark(self, request: web.Request) -> web.Response:
        wanted: MarkAsked = asked(MarkAsked, await _body(request))
        await asyncio.to_thread(lambda: self._pairs.mark(wanted.place, wanted.good))
        return _json({"marks": await asyncio.to_thread(lambda: answers.marks(self._pairs))})

    async def _undo(self, request: web.Request) -> web.Response:
        undone = await asyncio.to_thread(self._pairs.undo)
        return _json(
            {"undone": undone, "marks": await asyncio.to_thread(lambda: answers.marks(self._pairs))}
        )

    async def _export(self, request: web.Request) -> web.Response:
        lines = await asyncio.to_thread(lambda: "".join(self._pairs.mark_lines()))
        headers = {"Content-Disposition": 'attachment; filename="marks.jsonl"'}
        return web.Response(text=lines, content_type="application/jsonl", headers=headers)

    async def _calibrate(self, request: web.Request) -> web.Response:
        wanted: CalibrationAsked = asked(CalibrationAsked, await _body(request))
        query = wanted.query.read()

        def look() -> dict[str, Any]:
            found = calibrated(self._pairs, query, wanted.column, wanted.measure, wanted.value)
            return answers.calibration(found, answers.marks(self._pairs))

        return _json(await asyncio.to_thread(look))


async def _body(request: web.Request) -> dict[str, Any]:
    text = b"" if (request.content_length or 0) > _MOST_JSON else await request.read()
    if not 0 < len(text) <= _MOST_JSON:
        raise web.HTTPBadRequest(reason=f"a question has 1 to {_MOST_JSON:,} bytes")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise web.HTTPBadRequest(reason="the question is no JSON") from error
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(reason="the question is no JSON object")
    return body


def _json(value: Any) -> web.Response:
    return web.json_response(value, dumps=lambda one: json.dumps(one, allow_nan=False))

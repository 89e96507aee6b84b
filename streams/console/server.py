"""The console's server: routes, pages, and the stream that tells browsers to look again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from aiokafka.errors import KafkaError
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from models.alerts.settings import BANDS
from models.duration import DAY_MS
from models.experience.indices import WEIGHTS
from streams.console import charts, model_insights
from streams.console.actions import EVENT_NAMES, SNOOZE_DAYS, publish_action
from streams.console.database import PAGE_ROWS, AlertQuery, ConsoleDatabase
from streams.console.security import ConsoleSecurity
from streams.console.topic_follower import TopicFollower
from streams.errors import ChurnSignalsError
from streams.kafka.topic_reader import read_record
from streams.settings import Settings
from streams.topics import DEAD_LETTERS, name_of

HERE = Path(__file__).parent
# A browser looks again at most this often: eyes need no more, and a page costs some 10 ms.
_TELL_EVERY_S = 0.7
_HEARTBEAT_S = 15.0
LISTENERS_MAX = 200
# An answer of the worker takes a second; what is not answered after this is told.
_PENDING_S = 60.0
_PENDING_KEPT = 10_000
_PAYLOAD_CHARACTERS = 20_000
_NUMBER_MAX = 1e12


def percent(share: float | None, digits: int = 0) -> str:
    """A share for people: never 0 % of what is more than nothing.

    >>> percent(0.3456), percent(0.004), percent(None), percent(0.8, 1)
    ('35 %', '0.4 %', '–', '80.0 %')
    """
    if share is None:
        return "–"
    return f"{100 * share:.{digits if digits or share == 0 or share >= 0.0095 else 1}f} %"


def number(value: float | None, digits: int = 0) -> str:
    """With thousands apart; a dash for nothing known."""
    return "–" if value is None else f"{value:,.{digits}f}"


def moment(ms: int | None) -> str:
    """Epoch milliseconds as a time in UTC."""
    return "–" if not ms else datetime.fromtimestamp(ms / 1000, UTC).strftime("%-d %b %Y, %H:%M")


def age(seconds: float) -> str:
    """How long ago, in one unit.

    >>> age(5), age(125), age(7_300), age(200_000)
    ('5 s', '2 min', '2 h', '2 d')
    """
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


class Console:
    """One console: what it remembers, who may ask, and its pages."""

    def __init__(self, settings: Settings, guard: ConsoleSecurity, directory: Path) -> None:
        self.store = ConsoleDatabase(directory)
        self.reading = TopicFollower(settings, self.store, self._changed)
        self._settings = settings
        self._guard = guard
        self._listeners: dict[asyncio.Event, set[str]] = {}
        self._pending: dict[str, tuple[str, int, float]] = {}  # alert: what was asked, at which seq, until when
        self._influence: tuple[int, list[model_insights.FeatureInfluence], str] = (0, [], "")
        self._stopping = asyncio.Event()
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(percent=percent, number=number, moment=moment, age=age)
        self._templates.globals.update(charts=charts, bands=BANDS, snooze_days=SNOOZE_DAYS, weights=WEIGHTS, zip=zip)

    def app(self) -> web.Application:
        """The application; reading begins with it and ends with it."""
        app = web.Application(middlewares=[self._guard.middleware], client_max_size=16 * 1024)
        app.add_routes(
            [
                web.get("/", self.alerts),
                web.get("/customers", self.customers),
                web.get("/customer", self.customer),
                web.get("/model", self.model),
                web.get("/pipeline", self.pipeline),
                web.get("/live", self.live),
                web.get("/login", self.login),
                web.post("/login", self.log_in),
                web.post("/logout", self.log_out),
                web.post("/handle", self.handle),
                web.post("/payload", self.payload),
                web.static("/static", HERE / "static"),
            ]
        )
        app.cleanup_ctx.append(self._read)
        app.on_shutdown.append(self._shut)
        return app

    async def _read(self, _app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self.reading.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self.store.close()

    async def _shut(self, _app: web.Application) -> None:
        self._stopping.set()
        for waker in self._listeners:
            waker.set()

    # Pages ------------------------------------------------------------------------------------------------------------

    async def alerts(self, request: web.Request) -> web.Response:
        query = request.query
        choice = AlertQuery(
            query.get("band", ""), query.get("reason", ""), query.get("segment", ""), query.get("state", ""),
            _figure(query.get("least", "")), query.get("customer", ""), query.get("route", ""),
            query.get("sort", "worth"), _page(query),
        )  # fmt: skip
        rows, count = self.store.alerts(choice)
        for row in rows:
            row["pending"] = self._asked(row)
            score = self.store.score(row["customer"])
            row["history"] = [ppm / 1e6 for _, ppm in score["history"]] if score is not None else []
        return self._page(
            request,
            "alerts.html",
            rows=rows,
            count=count,
            choice=choice,
            choices=self.store.choices(),
            summary=self.store.summary(),
            pages=max(1, -(-count // PAGE_ROWS)),
            link=_linker(request),
        )

    async def customers(self, request: web.Request) -> web.Response:
        prefix, sort, page = (
            request.query.get("q", "").strip(),
            request.query.get("sort", "worth"),
            _page(request.query),
        )
        rows, count = self.store.customers(prefix, sort, page), self.store.count()
        return self._page(
            request, "customers.html", rows=rows, count=count, prefix=prefix, sort=sort, page=page,
            more=len(rows) == PAGE_ROWS, link=_linker(request),
        )  # fmt: skip

    async def customer(self, request: web.Request) -> web.Response:
        name = request.query.get("id", "")
        score = self.store.score(name)
        changes = self.store.history(name)
        alert = self.store.alert(changes[0]["alert_id"]) if changes else None
        if alert is not None:
            alert["pending"] = self._asked(alert)
        if score is None:
            reading = self.reading.progress[0] < self.reading.progress[1]
            return self._page(request, "unknown.html", status=404, name=name, reading=reading)
        first, last = score["history"][0][0], score["history"][-1][0]
        at = [(second - first) / ((last - first) or 1) for second, _ in score["history"]]
        return self._page(
            request, "customer.html", score=score, changes=changes, alert=alert, at=at,
            risks=[ppm / 1e6 for _, ppm in score["history"]], without=model_insights.counterfactuals(score),
            days=len(score["activity"]["counts"]), times=self.reading.times_to_value() if score.get("goals") else {},
        )  # fmt: skip

    async def model(self, request: web.Request) -> web.Response:
        snapshot, quality = self.reading.snapshot, self.reading.quality
        if snapshot is not None and self._influence[0] != snapshot[1]:
            influences = await asyncio.to_thread(model_insights.most_influential, snapshot[0])
            self._influence = (snapshot[1], influences, model_insights.snapshot_version(snapshot[0]))
        age_s = None if snapshot is None else time.time() - snapshot[1] / 1000
        days = quality.get("days", []) if quality else []
        return self._page(
            request, "model.html", quality=quality, days=days[-180:], telling=self._influence[1],
            version=self._influence[2], age_s=age_s, day_ms=DAY_MS,
        )  # fmt: skip

    async def pipeline(self, request: web.Request) -> web.Response:
        return self._page(request, "pipeline.html", **self._pipeline(), payload=None)

    async def payload(self, request: web.Request) -> web.Response:
        """The bytes of one dead letter: only when asked for, by whoever is allowed to see this page."""
        form = await request.post()
        try:
            partition, offset = int(str(form.get("partition"))), int(str(form.get("offset")))
        except ValueError:
            raise web.HTTPBadRequest(text="partition and offset are whole numbers\n") from None
        try:
            record = await read_record(self._settings, name_of(DEAD_LETTERS, self._settings), partition, offset)
        except (ChurnSignalsError, KafkaError) as failure:
            raise web.HTTPServiceUnavailable(text=f"{failure}\n") from failure
        text = "it is not there any more" if record is None else (record.value or b"").decode("utf-8", "replace")
        shown = (f"{partition}@{offset}", text[:_PAYLOAD_CHARACTERS])
        return self._page(request, "pipeline.html", **self._pipeline(), payload=shown)

    def _pipeline(self) -> dict[str, Any]:
        reading = self.reading
        counts = reading.letters.counts.most_common()
        return {
            "rows": reading.lag,
            "looks": list(reading.looks),
            "rate": reading.events_a_second,
            "letters": [(reason, count, list(reading.letters.samples[reason])) for reason, count in counts],
            "unknown": self.store.unknown,
            "customers": self.store.count(),
        }

    # Actions ----------------------------------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.Response:
        """Publish what a person did with an alert; the alert changes when the worker has said so."""
        form = await request.post()
        kind, alert = str(form.get("kind", "")), self.store.alert(str(form.get("alert_id", "")))
        if kind not in EVENT_NAMES or alert is None or not alert["live"]:
            raise web.HTTPConflict(text="This alert has ended, or is not known any more: load the page again.\n")
        days = int(str(form["days"])) if str(form.get("days", "")).isdecimal() else 0
        if kind == "snooze" and days not in SNOOZE_DAYS:
            raise web.HTTPBadRequest(text="This is no length of a snooze.\n")
        try:
            await publish_action(self._settings, kind, alert, days)
        except (ChurnSignalsError, KafkaError) as failure:
            raise web.HTTPServiceUnavailable(text=f"Nothing was published: {failure}\n") from failure
        while len(self._pending) >= _PENDING_KEPT:
            del self._pending[next(iter(self._pending))]
        self._pending[alert["alert_id"]] = (kind, alert["seq"], time.monotonic() + _PENDING_S)
        self._changed("alerts")
        back = str(form.get("back", "/"))
        raise web.HTTPSeeOther(back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/")

    def _asked(self, alert: dict[str, Any]) -> str:
        """What was asked of the worker and is not answered yet; "late" after a minute, empty if nothing."""
        kind, seq, until = self._pending.get(alert["alert_id"], ("", -1, 0.0))
        if alert["seq"] > seq:
            self._pending.pop(alert["alert_id"], None)
            return ""
        return kind if time.monotonic() < until else "late"

    async def login(self, request: web.Request) -> web.Response:
        return self._page(request, "login.html", wrong=False)

    async def log_in(self, request: web.Request) -> web.Response:
        given = str((await request.post()).get("token", ""))
        answer = await self._guard.log_in(request, given)
        return answer or self._page(request, "login.html", status=403, wrong=True)

    async def log_out(self, request: web.Request) -> web.Response:
        return self._guard.log_out(request)

    # Live -------------------------------------------------------------------------------------------------------------

    def _changed(self, topic: str) -> None:
        for waker, topics in self._listeners.items():
            topics.add(topic)
            waker.set()

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: the names of what has changed. What it is now, the page asks again."""
        if len(self._listeners) >= LISTENERS_MAX:
            raise web.HTTPServiceUnavailable(text="too many pages are open\n")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        waker, topics = asyncio.Event(), {"status"}
        self._listeners[waker] = topics
        waker.set()
        try:
            while not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(waker.wait(), _HEARTBEAT_S)
                waker.clear()
                told = "".join(f"event: {topic}\ndata: {self._says(topic)}\n\n" for topic in sorted(topics))
                topics.clear()
                await response.write((told or ": still here\n\n").encode())
                await asyncio.sleep(_TELL_EVERY_S)
        except ConnectionError:
            pass  # the page was closed
        finally:
            del self._listeners[waker]
        return response

    def _says(self, topic: str) -> str:
        return " ".join(self.reading.problem.split()) if topic == "status" else "changed"

    def _page(self, request: web.Request, template: str, status: int = 200, **values: Any) -> web.Response:
        done, total = self.reading.progress
        text = self._templates.get_template(template).render(
            path=request.path,
            here=request.path_qs if request.method == "GET" else request.path,
            csrf=self._guard.csrf(request),
            locked=self._guard.locked,
            problem=self.reading.problem,
            progress=None if done >= total else done / total,
            **values,
        )
        return web.Response(text=text, status=status, content_type="text/html")


async def serve(settings: Settings, host: str, port: int, ready: Any, stop: asyncio.Event) -> None:
    """Until `stop`; `ready` is called with the address once pages are served.

    Raises:
        SettingsError: the address needs a token.
        ChurnSignalsError: the address is taken.
    """
    guard = ConsoleSecurity(host, settings.console_token, settings.console_hosts)
    with TemporaryDirectory(prefix="churn-console-") as directory:
        runner = web.AppRunner(Console(settings, guard, Path(directory)).app(), access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            try:
                await site.start()
            except OSError as failure:
                raise ChurnSignalsError(
                    f"nothing can be served on {host}:{port} ({failure.strerror}): choose another --port"
                ) from None
            bound = runner.addresses[0][1]
            ready(f"http://{f'[{host}]' if ':' in host else host}:{bound}/")
            await stop.wait()
        finally:
            await runner.cleanup()


def _linker(request: web.Request) -> Any:
    def link(**changes: Any) -> str:
        values = {**request.query, **{name: str(value) for name, value in changes.items()}}
        return f"{request.path}?{urlencode({name: value for name, value in values.items() if value})}"

    return link


def _page(query: Any) -> int:
    text = query.get("page", "1")
    return min(max(int(text), 1), 100_000) if text.isdecimal() and len(text) < 7 else 1


def _figure(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= _NUMBER_MAX else 0.0

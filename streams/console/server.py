"""The console's web server: routes, pages, and the stream that makes browsers reload."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
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
from streams.console import charts, filters, model_insights
from streams.console.actions import EVENT_NAMES, SNOOZE_DAYS, publish_action
from streams.console.address import page_url
from streams.console.database import PAGE_ROWS, AlertQuery, ConsoleDatabase
from streams.console.security import ConsoleSecurity
from streams.console.topic_follower import TopicFollower
from streams.errors import ChurnSignalsError
from streams.kafka.topic_reader import read_record
from streams.rendering.risk_points import points_text, reason_points
from streams.settings import Settings
from streams.topics import DEAD_LETTERS, name_of

HERE = Path(__file__).parent
# A browser reloads at most this often. Faster updates are not visible, and a page costs about 10 ms.
_NOTIFY_EVERY_S = 0.7
_HEARTBEAT_S = 15.0
MAX_LISTENERS = 200
# A worker applies an action within about a second. After this time the page says that it did not.
_PENDING_S = 60.0
_MAX_PENDING = 10_000
_PAYLOAD_CHARACTERS = 20_000
_MAX_NUMBER = 1e12


class Console:
    """One console: its data, its access control and its pages."""

    def __init__(self, settings: Settings, security: ConsoleSecurity, directory: Path) -> None:
        self.database = ConsoleDatabase(directory)
        self.follower = TopicFollower(settings, self.database, self._notify)
        self._settings = settings
        self._security = security
        self._listeners: dict[asyncio.Event, set[str]] = {}
        self._pending: dict[str, tuple[str, int, float]] = {}  # by alert: action, seq at the time, deadline
        self._influence: tuple[int, list[model_insights.FeatureInfluence], str] = (0, [], "")
        self._stopping = asyncio.Event()
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            percent=filters.short_percent,
            number=filters.number,
            minute=filters.minute,
            day=filters.day,
            age=filters.age,
            words=filters.words,
            points=points_text,
        )
        self._templates.globals.update(
            charts=charts, bands=BANDS, snooze_days=SNOOZE_DAYS, weights=WEIGHTS, reason_points=reason_points
        )

    def app(self) -> web.Application:
        """Build the application. It follows the topics while it runs."""
        app = web.Application(middlewares=[self._security.middleware], client_max_size=16 * 1024)
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
        app.cleanup_ctx.append(self._follow)
        app.on_shutdown.append(self._stop_streams)
        return app

    async def _follow(self, _app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self.follower.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self.database.close()

    async def _stop_streams(self, _app: web.Application) -> None:
        self._stopping.set()
        for wake in self._listeners:
            wake.set()

    # Pages ------------------------------------------------------------------------------------------------------------

    async def alerts(self, request: web.Request) -> web.Response:
        """The list of alerts."""
        parameters = request.query
        query = AlertQuery(
            band=parameters.get("band", ""),
            reason=parameters.get("reason", ""),
            segment=parameters.get("segment", ""),
            state=parameters.get("state", ""),
            min_at_risk=_amount(parameters.get("min_at_risk", "")),
            customer=parameters.get("customer", ""),
            route=parameters.get("route", ""),
            sort=parameters.get("sort", "value"),
            page=_page_number(parameters),
        )
        rows, count = self.database.alerts(query)
        for row in rows:
            row["pending"] = self._pending_action(row)
            score = self.database.score(row["customer"])
            row["history"] = [ppm / 1e6 for _, ppm in score["history"]] if score is not None else []
        return self._page(
            request,
            "alerts.html",
            rows=rows,
            count=count,
            query=query,
            options=self.database.filter_options(),
            summary=self.database.summary(),
            pages=max(1, -(-count // PAGE_ROWS)),
            link=_link_builder(request),
        )

    async def customers(self, request: web.Request) -> web.Response:
        """The list of customers."""
        prefix, sort = request.query.get("q", "").strip(), request.query.get("sort", "value")
        page = _page_number(request.query)
        rows, count = self.database.customers(prefix, sort, page), self.database.count()
        return self._page(
            request, "customers.html", rows=rows, count=count, prefix=prefix, sort=sort, page=page,
            more=len(rows) == PAGE_ROWS, link=_link_builder(request),
        )  # fmt: skip

    async def customer(self, request: web.Request) -> web.Response:
        """The page of one customer."""
        name = request.query.get("id", "")
        score = self.database.score(name)
        changes = self.database.history(name)
        alert = self.database.alert(changes[0]["alert_id"]) if changes else None
        if alert is not None:
            alert["pending"] = self._pending_action(alert)
        if score is None:
            loading = self.follower.progress[0] < self.follower.progress[1]
            return self._page(request, "unknown.html", status=404, name=name, loading=loading)
        first, last = score["history"][0][0], score["history"][-1][0]
        return self._page(
            request,
            "customer.html",
            score=score,
            changes=changes,
            alert=alert,
            at=[(second - first) / ((last - first) or 1) for second, _ in score["history"]],
            risks=[ppm / 1e6 for _, ppm in score["history"]],
            without=model_insights.counterfactuals(score),
            days=len(score["activity"]["counts"]),
            times=self.follower.times_to_value() if score.get("goals") else {},
        )

    async def model(self, request: web.Request) -> web.Response:
        """The page about model quality."""
        snapshot, quality = self.follower.snapshot, self.follower.quality
        if snapshot is not None and self._influence[0] != snapshot[1]:
            influences = await asyncio.to_thread(model_insights.most_influential, snapshot[0])
            self._influence = (snapshot[1], influences, model_insights.snapshot_version(snapshot[0]))
        age_s = None if snapshot is None else time.time() - snapshot[1] / 1000
        days = quality.get("days", []) if quality else []
        return self._page(
            request, "model.html", quality=quality, days=days[-180:], features=self._influence[1],
            version=self._influence[2], age_s=age_s, day_ms=DAY_MS,
        )  # fmt: skip

    async def pipeline(self, request: web.Request) -> web.Response:
        """The page about lag and dead letters."""
        return self._page(request, "pipeline.html", **self._pipeline_figures(), payload=None)

    async def payload(self, request: web.Request) -> web.Response:
        """The content of one dead letter, which is read only on request."""
        form = await request.post()
        try:
            partition, offset = int(str(form.get("partition"))), int(str(form.get("offset")))
        except ValueError:
            raise web.HTTPBadRequest(text="Partition and offset must be whole numbers.\n") from None
        try:
            record = await read_record(self._settings, name_of(DEAD_LETTERS, self._settings), partition, offset)
        except (ChurnSignalsError, KafkaError) as failure:
            raise web.HTTPServiceUnavailable(text=f"{failure}\n") from failure
        text = (
            "The topic no longer holds this record."
            if record is None
            else (record.value or b"").decode("utf-8", "replace")
        )
        shown = (f"{partition}@{offset}", text[:_PAYLOAD_CHARACTERS])
        return self._page(request, "pipeline.html", **self._pipeline_figures(), payload=shown)

    def _pipeline_figures(self) -> dict[str, Any]:
        follower = self.follower
        counts = follower.letters.counts.most_common()
        return {
            "rows": follower.lag,
            "lag_samples": list(follower.lag_samples),
            "rate": follower.events_per_second,
            "letters": [(reason, count, list(follower.letters.samples[reason])) for reason, count in counts],
            "customers": self.database.count(),
        }

    # Actions ----------------------------------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.Response:
        """Publish a person's action on an alert. The alert changes when the worker's record arrives."""
        form = await request.post()
        kind, alert = str(form.get("kind", "")), self.database.alert(str(form.get("alert_id", "")))
        if kind not in EVENT_NAMES or alert is None or not alert["live"]:
            raise web.HTTPConflict(text="This alert has ended. Reload the page.\n")
        days = int(str(form["days"])) if str(form.get("days", "")).isdecimal() else 0
        if kind == "snooze" and days not in SNOOZE_DAYS:
            raise web.HTTPBadRequest(text="Choose one of the listed numbers of days.\n")
        try:
            await publish_action(self._settings, kind, alert, days)
        except (ChurnSignalsError, KafkaError) as failure:
            raise web.HTTPServiceUnavailable(text=f"The action was not published: {failure}\n") from failure
        while len(self._pending) >= _MAX_PENDING:
            del self._pending[next(iter(self._pending))]
        self._pending[alert["alert_id"]] = (kind, alert["seq"], time.monotonic() + _PENDING_S)
        self._notify("alerts")
        back = str(form.get("back", "/"))
        raise web.HTTPSeeOther(back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/")

    def _pending_action(self, alert: dict[str, Any]) -> str:
        """The published action that no worker has applied yet; "late" after a minute; empty if there is none."""
        kind, seq, deadline_s = self._pending.get(alert["alert_id"], ("", -1, 0.0))
        if alert["seq"] > seq:
            self._pending.pop(alert["alert_id"], None)
            return ""
        return kind if time.monotonic() < deadline_s else "late"

    async def login(self, request: web.Request) -> web.Response:
        """The login page."""
        return self._page(request, "login.html", wrong=False)

    async def log_in(self, request: web.Request) -> web.Response:
        """Check the token and start a session."""
        token = str((await request.post()).get("token", ""))
        response = await self._security.log_in(request, token)
        return response or self._page(request, "login.html", status=403, wrong=True)

    async def log_out(self, request: web.Request) -> web.Response:
        """End the session."""
        return self._security.log_out(request)

    # Live -------------------------------------------------------------------------------------------------------------

    def _notify(self, topic: str) -> None:
        for wake, topics in self._listeners.items():
            topics.add(topic)
            wake.set()

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events that name what has changed; the browser then reloads the page."""
        if len(self._listeners) >= MAX_LISTENERS:
            raise web.HTTPServiceUnavailable(text="Too many pages are open. Close some and reload.\n")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        wake, topics = asyncio.Event(), {"status"}
        self._listeners[wake] = topics
        wake.set()
        try:
            while not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), _HEARTBEAT_S)
                wake.clear()
                events = "".join(f"event: {topic}\ndata: {self._event_data(topic)}\n\n" for topic in sorted(topics))
                topics.clear()
                await response.write((events or ": heartbeat\n\n").encode())
                await asyncio.sleep(_NOTIFY_EVERY_S)
        except ConnectionError:
            pass  # the page was closed
        finally:
            del self._listeners[wake]
        return response

    def _event_data(self, topic: str) -> str:
        return " ".join(self.follower.problem.split()) if topic == "status" else "changed"

    def _page(self, request: web.Request, template: str, status: int = 200, **values: Any) -> web.Response:
        done, total = self.follower.progress
        text = self._templates.get_template(template).render(
            path=request.path,
            here=request.path_qs if request.method == "GET" else request.path,
            csrf=self._security.csrf(request),
            locked=self._security.locked,
            problem=self.follower.problem,
            progress=None if done >= total else done / total,
            **values,
        )
        return web.Response(text=text, status=status, content_type="text/html")


async def serve_console(
    settings: Settings, host: str, port: int, ready: Callable[[str], None], stop: asyncio.Event
) -> None:
    """Serve pages until `stop` is set; call `ready` with the URL once pages are served.

    Raises:
        SettingsError: the address needs a token.
        ChurnSignalsError: the address is in use.
    """
    security = ConsoleSecurity(host, settings.secret("console_token"), settings.console_hosts)
    with TemporaryDirectory(prefix="churn-console-") as directory:
        runner = web.AppRunner(
            Console(settings, security, Path(directory)).app(), access_log=None, shutdown_timeout=2.0
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            try:
                await site.start()
            except OSError as failure:
                raise ChurnSignalsError(
                    f"cannot listen on {host}:{port} ({failure.strerror}): choose another --port"
                ) from None
            ready(page_url(host, runner.addresses[0][1]))
            await stop.wait()
        finally:
            await runner.cleanup()


def _link_builder(request: web.Request) -> Callable[..., str]:
    """Return a function that builds this page's URL with changed parameters."""

    def link(**changes: Any) -> str:
        values = {**request.query, **{name: str(value) for name, value in changes.items()}}
        return f"{request.path}?{urlencode({name: value for name, value in values.items() if value})}"

    return link


def _page_number(parameters: Mapping[str, str]) -> int:
    text = parameters.get("page", "1")
    return min(max(int(text), 1), 100_000) if text.isdecimal() and len(text) < 7 else 1


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= _MAX_NUMBER else 0.0

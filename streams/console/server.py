"""The console's web server: routes, pages, and the stream that makes browsers reload."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from aiokafka.errors import KafkaError
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from prometheus_client import CollectorRegistry

from models.alerts.settings import BANDS
from models.duration import DAY_MS
from models.experience.indices import WEIGHTS
from streams.console import charts, filters, model_insights
from streams.console.actions import EVENT_NAMES, SNOOZE_DAYS, publish_action
from streams.console.address import page_url
from streams.console.console_metrics import console_samples
from streams.console.database import PAGE_ROWS, AlertQuery, ConsoleDatabase
from streams.console.forms import local_path, read_form, whole_number
from streams.console.live_streams import LiveStreams
from streams.console.security import ConsoleSecurity
from streams.console.topic_follower import TopicFollower
from streams.errors import ChurnSignalsError
from streams.health import Check, Health
from streams.kafka.topic_reader import read_record
from streams.monitoring.http_limits import HttpLimits, LimitedRunner
from streams.monitoring.http_server import metrics_response, verdict_response
from streams.monitoring.monitor import monitored
from streams.rendering.risk_points import points_text, reason_points
from streams.settings import Settings
from streams.topics import DEAD_LETTERS, name_of

HERE = Path(__file__).parent
# Leaves descriptors for Kafka and files: the usual limit of a process is 1,024.
LIMITS = HttpLimits(connections=512)
_SHUTDOWN_TIMEOUT_S = 2.0
# A worker applies an action within about a second. After this time the page says that it did not.
_PENDING_S = 60.0
_MAX_PENDING = 10_000
_PAYLOAD_CHARACTERS = 20_000
_MAX_NUMBER = 1e12


class Console:
    """One console: its data, its access control and its pages."""

    def __init__(
        self,
        settings: Settings,
        security: ConsoleSecurity,
        directory: Path,
        stop: asyncio.Event | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self.database = ConsoleDatabase(directory)
        self.follower = TopicFollower(settings, self.database, self._notify)
        self.security = security
        self._settings = settings
        self.streams = LiveStreams(self._event_data)
        self.health = Health("console", stop or asyncio.Event())
        self.health.started = True
        self.health.liveness.append(self.follower.tasks.liveness)
        self.health.readiness.append(self.readiness)
        self._registry = registry or CollectorRegistry()
        self._pending: dict[str, tuple[str, int, float]] = {}  # by alert: action, seq at the time, deadline
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(filters.FILTERS, points=points_text)
        self._templates.globals.update(
            charts=charts, bands=BANDS, snooze_days=SNOOZE_DAYS, weights=WEIGHTS, reason_points=reason_points
        )

    def app(self) -> web.Application:
        """Build the application. It follows the topics while it runs."""
        app = web.Application(middlewares=[self.security.middleware], client_max_size=16 * 1024)
        app.add_routes(
            [
                web.get("/", self.alerts),
                web.get("/customers", self.customers),
                web.get("/customer", self.customer),
                web.get("/model", self.model),
                web.get("/pipeline", self.pipeline),
                web.get("/live", self.live),
                web.get("/healthz", self.healthz),
                web.get("/readyz", self.readyz),
                web.get("/metrics", self.metrics),
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
        self.follower.start()
        yield
        await self.follower.stop()
        self.database.close()

    async def _stop_streams(self, _app: web.Application) -> None:
        self.streams.end()

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
        model, quality = self.follower.model, self.follower.quality
        age_s = None if model is None else time.time() - model.published_ms / 1000
        days = quality.get("days", []) if quality else []
        return self._page(
            request, "model.html", quality=quality, days=days[-180:], features=model.influences if model else [],
            version=model.version if model else "", age_s=age_s, day_ms=DAY_MS,
        )  # fmt: skip

    async def pipeline(self, request: web.Request) -> web.Response:
        """The page about lag and dead letters."""
        return self._page(request, "pipeline.html", **self._pipeline_figures(), payload=None)

    async def payload(self, request: web.Request) -> web.Response:
        """The content of one dead letter, which is read only on request."""
        form = await read_form(request)
        partition, offset = whole_number(form.get("partition", "")), whole_number(form.get("offset", ""))
        if partition is None or offset is None:
            raise web.HTTPBadRequest(text="Partition and offset must be whole numbers.\n")
        try:
            record = await read_record(self._settings, name_of(DEAD_LETTERS, self._settings), partition, offset)
        except (ChurnSignalsError, KafkaError, OSError) as failure:
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
        return {
            "rows": follower.lag,
            "lag_samples": list(follower.lag_samples),
            "rate": follower.events_per_second,
            "letters": follower.letters.by_reason(),
            "unreadable": follower.unreadable_properties(),
            "customers": self.database.count(),
        }

    # Actions ----------------------------------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.Response:
        """Publish a person's action on an alert. The alert changes when the worker's record arrives."""
        form = await read_form(request)
        kind, alert = form.get("kind", ""), self.database.alert(form.get("alert_id", ""))
        if kind not in EVENT_NAMES or alert is None or not alert["live"]:
            raise web.HTTPConflict(text="This alert has ended. Reload the page.\n")
        days = whole_number(form.get("days", "")) or 0
        if kind == "snooze" and days not in SNOOZE_DAYS:
            raise web.HTTPBadRequest(text="Choose one of the listed numbers of days.\n")
        try:
            await publish_action(self._settings, kind, alert, days)
        except (ChurnSignalsError, KafkaError, OSError) as failure:
            raise web.HTTPServiceUnavailable(text=f"The action was not published: {failure}\n") from failure
        while len(self._pending) >= _MAX_PENDING:
            del self._pending[next(iter(self._pending))]
        self._pending[alert["alert_id"]] = (kind, alert["seq"], time.monotonic() + _PENDING_S)
        self._notify("alerts")
        raise web.HTTPSeeOther(local_path(form.get("back", "/")))

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
        token = (await read_form(request)).get("token", "")
        response = await self.security.log_in(request, token)
        return response or self._page(request, "login.html", status=403, wrong=True)

    async def log_out(self, request: web.Request) -> web.Response:
        """End the session and its streams."""
        response = self.security.log_out(request)
        if session := self.security.session(request):
            self.streams.end(session)
        return response

    # Live and health --------------------------------------------------------------------------------------------------

    def _notify(self, topic: str) -> None:
        self.streams.notify(topic)

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events that name what has changed; the browser then reloads the page."""
        session = self.security.session(request)
        return await self.streams.serve(request, session, lambda: self.security.serves(session))

    async def healthz(self, request: web.Request) -> web.Response:
        """200 as long as no task has failed."""
        return self._health_response(request, "alive", self.health.alive())

    async def readyz(self, request: web.Request) -> web.Response:
        """200 while new data arrives."""
        return self._health_response(request, "ready", self.health.ready())

    async def metrics(self, request: web.Request) -> web.Response:
        """The metrics of this process."""
        return metrics_response(request, self._registry)

    def _health_response(self, request: web.Request, verdict: str, checks: list[Check]) -> web.Response:
        """The reasons name brokers and directories, so that they are shown after login only."""
        shown = checks if not self.security.locked or self.security.has_session(request) else []
        return verdict_response(self.health.role, verdict, checks, shown)

    def readiness(self) -> Iterator[Check]:
        """Fails while no new data arrives, or the scores are still being read."""
        yield from self.follower.tasks.readiness()
        done, total = self.follower.progress
        yield Check("scores", done >= total, f"{done:,} of {total:,} records read at the start")

    def _event_data(self, topic: str) -> str:
        return " ".join(self.follower.problem.split()) if topic == "status" else "changed"

    def _page(self, request: web.Request, template: str, status: int = 200, **values: Any) -> web.Response:
        done, total = self.follower.progress
        text = self._templates.get_template(template).render(
            path=request.path,
            here=request.path_qs if request.method == "GET" else request.path,
            csrf=self.security.csrf(request),
            locked=self.security.locked,
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
        SettingsError: the address needs a token, or the token is easy to guess.
        ChurnSignalsError: an address is in use, or there is no place for the temporary data.
    """
    token, proxies = settings.secret("console_token"), settings.console_trusted_proxies
    security = ConsoleSecurity(host, token, settings.console_hosts, proxies)
    with _temporary_directory() as directory, monitored(settings, "console", stop) as monitor:
        console = Console(settings, security, Path(directory), stop, monitor.registry)
        runner = LimitedRunner(console.app(), LIMITS, _SHUTDOWN_TIMEOUT_S)
        monitor.watch(console.readiness, console.follower.tasks.liveness, lambda: console_samples(console))
        monitor.watch_server(lambda: runner, "console")
        monitor.unusable.append(console.follower.unusable)
        monitor.tasks.append(console.follower.tasks)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as failure:
                raise ChurnSignalsError(
                    f"cannot listen on {host}:{port} ({failure.strerror}): choose another --port"
                ) from None
            ready(page_url(host, runner.addresses[0][1]))
            await stop.wait()
        finally:
            await runner.cleanup()


@contextmanager
def _temporary_directory() -> Iterator[str]:
    try:
        directory = TemporaryDirectory(prefix="churn-console-", ignore_cleanup_errors=True)
    except OSError as failure:
        raise ChurnSignalsError(
            f"cannot create a temporary directory for the console's data: {failure.strerror}; set TMPDIR to another one"
        ) from failure
    with directory as path:
        yield path


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

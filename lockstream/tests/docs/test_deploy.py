"""deploy/ names only files, services and settings that exist."""

import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import yaml
from typer.main import get_group

from lockstream.presentation.cli.main import commands
from lockstream.presentation.http.bodies import GZIP_OVERHEAD_BYTES
from lockstream.settings import SCHEMES, Settings, environment_names

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
PROXY = (DEPLOY / "nginx.conf").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NODES = {name: service for name, service in SERVICES.items() if "build" in service}


def test_the_nodes_are_built_from_files_that_exist() -> None:
    assert len(NODES) == 2
    for node in NODES.values():
        context = (DEPLOY / node["build"]["context"]).resolve()
        assert context == ROOT
        recipe = (context / node["build"]["dockerfile"]).read_text()
        copied = re.findall(r"^COPY (\S+) ", recipe, re.MULTILINE)
        assert copied
        assert [name for name in copied if not (context / name).exists()] == []
        [started] = re.findall(r'^CMD \["python", "-m", "lockstream", "(\w+)"\]$', recipe, re.MULTILINE)
        assert started in get_group(commands).commands


def test_the_variables_of_the_nodes_are_settings() -> None:
    for node in NODES.values():
        assert set(node["environment"]) <= set(environment_names().values())
        assert str(node["environment"]["DATABASE_URL"]).startswith(SCHEMES)


def test_each_service_that_is_named_exists() -> None:
    named = {name for service in SERVICES.values() for name in service.get("depends_on", ())}
    hosts = set(re.findall(r"@([a-z0-9-]+)/", str(NODES)))
    upstream = re.findall(r"^    server (\S+):(\d+)", PROXY, re.MULTILINE)
    assert hosts == {"database"}
    assert named | hosts <= set(SERVICES)
    assert upstream == [(name, str(Settings.model_fields["port"].default)) for name in NODES]


def test_the_database_is_healthy_only_once_the_nodes_can_reach_it() -> None:
    """While its image creates the database, PostgreSQL listens on its Unix socket alone."""
    program, *options = SERVICES["database"]["healthcheck"]["test"].split()
    assert program == "pg_isready"
    assert options[:2] == ["--host", "127.0.0.1"]


def test_each_file_that_is_mounted_exists_and_each_volume_is_declared() -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    assert mounted
    for source in mounted:
        assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_the_proxy_listens_where_its_port_is_published() -> None:
    [listened] = re.findall(r"listen (\d+);", PROXY)
    assert SERVICES["proxy"]["ports"] == [f"127.0.0.1:{listened}:{listened}"]


def test_a_body_that_a_node_would_take_is_let_through_and_a_silent_connection_is_closed_by_the_proxy_first() -> None:
    [largest] = re.findall(r"client_max_body_size (\d+)m;", PROXY)
    taken = Settings.model_fields["max_batch_bytes"].default + GZIP_OVERHEAD_BYTES
    assert taken <= int(largest) << 20 < taken + (1 << 20)
    [silent] = re.findall(r"keepalive_timeout (\d+)s;", PROXY)
    assert int(silent) < Settings.model_fields["header_seconds"].default


def test_the_nodes_trust_the_address_of_the_proxy_alone() -> None:
    [address] = [network["ipv4_address"] for network in SERVICES["proxy"]["networks"].values()]
    [subnet] = COMPOSE["networks"]["default"]["ipam"]["config"]
    given, whole = ip_network(subnet["ip_range"]), ip_network(subnet["subnet"])
    assert ip_address(address) in whole
    # and no other container gets that address, even if it starts before the proxy
    assert set(given) < set(whole)
    assert ip_address(address) not in given
    assert subnet["gateway"] != address
    for node in NODES.values():
        assert node["environment"]["LOCKSTREAM_TRUSTED_PROXIES"] == address
    # and it names the host, the client and the scheme in each request
    places = [place for place in PROXY.split("location ") if "proxy_pass" in place]
    passed = [re.findall(r"proxy_set_header (\S+) ", place) for place in places]
    assert passed == [["Connection", "Host", "X-Forwarded-For", "X-Forwarded-Proto"]] * 3

"""Rules, configuration and pages: promtool accepts all of them, and each alarm has its section."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lockstream.services.running.telemetry import problems
from lockstream.settings import Settings
from lockstream.tests.crash.fault_report import FULL
from lockstream.tests.observability.deployed import (
    ALERT_RULES,
    ALERTS,
    CONFIGURATION,
    OBSERVABILITY,
    RECORDED,
    ROOT,
    RULES,
)
from lockstream.tests.observability.prometheus import needs_prometheus
from lockstream.tests.support.processes import TIMEOUT_SECONDS

PAGE = (ROOT / "docs/operations.md").read_text()
ALARMS = PAGE.split("\n## Alarms\n", 1)[1].split("\n## ", 1)[0]
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
UNIT_TESTS = [file.name for file in sorted(OBSERVABILITY.glob("alerts*_test.yml"))]


def promtool(*arguments: str | Path) -> None:
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr


def sections() -> dict[str, str]:
    """Return the sections of the alarms by their anchors."""
    parts = re.split(r"(?m)^### ", ALARMS)[1:]
    return {part.split("\n", 1)[0].lower().replace(" ", "-"): part for part in parts}


def pages_of_problems() -> Iterator[tuple[str, str]]:
    """Yield the code and the page of each problem that the code can name."""
    for function in ast.parse(Path(problems.__file__).read_text()).body:
        texts: dict[str, str] = {}
        for node in ast.walk(function):
            match node:
                case ast.Assign([ast.Name(name)], ast.Constant(str(text))):
                    texts[name] = text
                case ast.Assign([ast.Tuple(names)], ast.Tuple(values)):
                    pairs = zip(names, values, strict=True)
                    texts |= {
                        name.id: str(value.value)
                        for name, value in pairs
                        if isinstance(name, ast.Name) and isinstance(value, ast.Constant)
                    }
                case _:
                    pass
        for node in ast.walk(function):
            match node:
                case ast.Call(ast.Name("Problem"), [ast.Constant(str(code)), _, _, _, ast.Constant(str(page))]):
                    yield code, page
                case ast.Call(ast.Name("Problem"), [ast.Constant(str(code)), _, _, _, ast.Name(name)]):
                    yield code, texts[name]
                case _:
                    pass


@needs_prometheus
def test_the_rules_and_the_configuration_are_valid(tmp_path: Path) -> None:
    for file in (ALERTS, CONFIGURATION):
        shutil.copy(file, tmp_path)
    shutil.copy(OBSERVABILITY / "no-key", tmp_path / "lockstream-key")
    promtool("check", "config", tmp_path / "prometheus.yml")


@needs_prometheus
@pytest.mark.skipif(not FULL, reason="it evaluates weeks; LOCKSTREAM_CRASH=full runs it")
def test_the_rules_are_right_over_days() -> None:
    promtool("test", "rules", OBSERVABILITY / "alerts_days_test.yml")


def test_each_alert_is_raised_by_a_unit_test() -> None:
    texts = "".join((OBSERVABILITY / name).read_text() for name in UNIT_TESTS)
    raised = set(re.findall(r'ALERTS\{alertname="(\w+)",alertstate="firing"', texts))
    assert raised == set(ALERT_RULES)


def test_each_rule_names_only_recorded_series_that_exist() -> None:
    named = {found for rule in RULES for found in re.findall(r"\bjob:\w+:\w+", rule["expr"])}
    assert named == RECORDED


@pytest.mark.parametrize(
    ("alert", "limit"),
    [
        (
            "DiskNearlyFull",
            f"lockstream_disk_free_bytes < {problems.NEARLY_FULL_DISK} * lockstream_disk_min_free_bytes",
        ),
        ("DiskFullSoon", f"lockstream_disk_left_seconds < {problems.FEW_DAYS:.0f} * 86400"),
        ("DiskFullSoon", f"free_bytes >= {problems.NEARLY_FULL_DISK} * lockstream_disk_min_free_bytes"),
        ("ProjectionBehind", f"lockstream_projection_lag_seconds > {problems.LONG_LAG_SECONDS:.0f}"),
        ("ReplicaBehind", f"lockstream_replica_lag_seconds > {problems.LONG_LAG_SECONDS:.0f}"),
        ("QueueNearlyFull", f"lockstream_queue_events >= {problems.NEARLY_FULL} * lockstream_queue_limit_events"),
        ("QuarantineFilling", f">= {problems.NEARLY_FULL} * max by (job) (lockstream_quarantine_limit_entries)"),
    ],
)
def test_an_alert_has_the_limit_of_its_problem(alert: str, limit: str) -> None:
    assert re.search(re.escape(limit) + r"(?![\w.])", ALERT_RULES[f"Lockstream{alert}"]["expr"])


def test_each_alert_has_a_severity_a_summary_and_a_section() -> None:
    for rule in ALERT_RULES.values():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"].endswith(".")
        page, _, anchor = rule["annotations"]["page"].partition("#")
        assert page == "docs/operations.md"
        assert anchor in sections(), rule["alert"]


def test_the_page_lists_each_alert_with_its_severity_and_its_section() -> None:
    listed = set(re.findall(r"^\| `(Lockstream\w+)` \| (\w+) \| \[[^]]+\]\(#([a-z-]+)\) \|$", ALARMS, re.MULTILINE))
    assert listed == {
        (name, rule["labels"]["severity"], rule["annotations"]["page"].split("#")[1])
        for name, rule in ALERT_RULES.items()
    }


def test_the_page_lists_each_problem_with_its_section() -> None:
    listed = re.findall(r"^\| `([a-z_]+)` \| \[[^]]+\]\(#([a-z-]+)\) \|$", ALARMS, re.MULTILINE)
    assert sorted(listed) == sorted(set(pages_of_problems()))
    assert len(listed) >= 14


def test_each_section_belongs_to_an_alarm_and_says_what_is_lost_and_what_to_do() -> None:
    alarms = {rule["annotations"]["page"].split("#")[1] for rule in ALERT_RULES.values()}
    assert set(sections()) == alarms | {page for _, page in pages_of_problems()}
    for anchor, text in sections().items():
        assert [part for part in ("**Lost:**", "**To do:**") if part not in re.sub(r"\s+", " ", text)] == [], anchor


def test_the_containers_read_these_files_and_scrape_each_node() -> None:
    services = COMPOSE["services"]
    [job] = yaml.safe_load(CONFIGURATION.read_text())["scrape_configs"]
    nodes = [name for name, service in services.items() if "build" in service]
    port = Settings.model_fields["port"].default
    assert job["static_configs"] == [{"targets": [f"{node}:{port}" for node in nodes]}]
    for name in ("prometheus", "grafana"):
        assert services[name]["profiles"] == ["observability"]
        assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", services[name]["image"])
    [secret] = services["prometheus"]["secrets"]
    assert secret["target"] == f"/etc/prometheus/{job['authorization']['credentials_file']}"
    default = COMPOSE["secrets"][secret["source"]]["file"].split(":-")[1].rstrip("}")
    assert (ROOT / "deploy" / default).exists()


def test_the_datasource_is_the_one_that_the_dashboard_names() -> None:
    text = (OBSERVABILITY / "dashboard.json").read_text()
    [source] = yaml.safe_load((OBSERVABILITY / "grafana/datasource.yml").read_text())["datasources"]
    assert set(re.findall(r'"type": "prometheus",\s+"uid": "(\w+)"', text)) == {source["uid"]}


@needs_prometheus
def test_the_commands_of_the_page_run_the_unit_tests() -> None:
    [script] = re.findall(r"<!-- run: check the alerts -->\n +```sh\n(.*?)```", PAGE, re.DOTALL)
    subprocess.run(["bash", "-euc", script], cwd=ROOT, check=True, timeout=TIMEOUT_SECONDS, capture_output=True)

"""The files in deploy/observability, and the metrics that they name."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
OBSERVABILITY = ROOT / "deploy/observability"
ALERTS = OBSERVABILITY / "alerts.yml"
CONFIGURATION = OBSERVABILITY / "prometheus.yml"
DASHBOARD = json.loads((OBSERVABILITY / "dashboard.json").read_text())
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
ALERT_RULES = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}

_METRIC = re.compile(r"(?<![\w:])(?:lockstream|process|http_server)_\w+")
_STRING = re.compile(r'"[^"]*"')


def metrics_in(expression: str) -> set[str]:
    """Return the names of all metrics in an expression. Labels are lower case words without these prefixes."""
    return set(_METRIC.findall(_STRING.sub("", expression)))


def dashboard_queries() -> dict[str, str]:
    """Return each query of the dashboard by its panel, with its variables filled in: all jobs, all instances."""
    queries = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    }
    filled = {"$job": ".*", "$instance": ".*", "$__rate_interval": "30s"}
    for name, value in filled.items():
        queries = {panel: query.replace(name, value) for panel, query in queries.items()}
    return queries

"""Scrapes of a server, parsed by Prometheus' client library."""

from typing import Any, Protocol

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


class Scrapable(Protocol):
    """The part of a client that a scrape needs."""

    def get(self, url: str, /) -> Any: ...


def scrape(client: Scrapable, path: str = "/metrics") -> "Scrape":
    """Scrape a server, and return what it has served."""
    response = client.get(path)
    assert response.status_code == 200, response.text
    return Scrape(response.text)


class Scrape:
    """The families of one scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = list(text_string_to_metric_families(text))

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of a sample, or None if there is none."""
        found = [
            sample.value
            for family in self.families
            for sample in family.samples
            if (sample.name, sample.labels) == (name, labels)
        ]
        assert len(found) < 2, f"{name} {labels} is there twice"
        return found[0] if found else None

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        """Return the values of all samples of a name that are not 0, by the values of their labels in order of name."""
        return {
            tuple(label for _, label in sorted(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name and sample.value
        }

    @property
    def series(self) -> int:
        """Number of samples."""
        return sum(len(family.samples) for family in self.families)


def shape_of(family: Metric) -> tuple[str, str, frozenset[str]]:
    """Return the name of a family as it is served, its type, and the labels of its samples."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = frozenset(label for sample in family.samples for label in sample.labels) - {"le"}
    return name, family.type, labels

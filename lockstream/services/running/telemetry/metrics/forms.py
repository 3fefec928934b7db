"""Constructors of families: a gauge, a counter or a histogram with its samples."""

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from lockstream.infrastructure.telemetry.histogram import Observations

type Value = float | None
"""A number, or None if it is not known. A family without a known value is left out."""


def gauge(name: str, text: str, value: Value) -> Iterable[Metric]:
    """Yield a gauge without labels, if its value is known."""
    if value is not None:
        yield GaugeMetricFamily(name, text, value)


def counter(name: str, text: str, value: Value) -> Iterable[Metric]:
    """Yield a counter without labels, if its value is known. The name ends with `_total`."""
    if value is not None:
        yield CounterMetricFamily(name, text, value)


def gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Iterable[Metric]:
    """Yield a gauge for each value of one label."""
    family = GaugeMetricFamily(name, text, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), number)
    yield family


def counters[LabelsT: tuple[str, ...]](
    name: str, text: str, labels: LabelsT, values: Mapping[LabelsT, float]
) -> Iterable[Metric]:
    """Yield a counter for each combination of labels. The name ends with `_total`."""
    family = CounterMetricFamily(name, text, labels=labels)
    for combination, number in values.items():
        family.add_metric(combination, number)
    yield family


def histogram(name: str, text: str, observations: Observations) -> Iterable[Metric]:
    """Yield a histogram without labels."""
    yield HistogramMetricFamily(name, text, _buckets(observations), observations.sum)


def histograms(name: str, text: str, label: str, values: Mapping[str, Observations]) -> Iterable[Metric]:
    """Yield a histogram for each value of one label."""
    family = HistogramMetricFamily(name, text, labels=(label,))
    for value, observations in values.items():
        family.add_metric((value,), _buckets(observations), observations.sum)
    yield family


def _buckets(observations: Observations) -> list[tuple[str, float]]:
    bounds = [*map(floatToGoString, observations.bounds), "+Inf"]
    return list(zip(bounds, observations.cumulative, strict=True))

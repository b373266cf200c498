"""What the exporter says of itself, fresh at every scrape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from prometheus_client import CollectorRegistry
from prometheus_client.process_collector import ProcessCollector

from exporter.exposition import Format, join, render_all
from exporter.families import Family, Kind, Sample, family, labels_of


@dataclass(slots=True)
class Reloads:
    """How the last reading of a configuration went, and when (epoch seconds) one last succeeded."""

    what: str = "config"
    successful: bool = True
    at: float = 0.0

    def families(self) -> list[Family]:
        """Two gauges, named as Prometheus names its own."""
        return [
            family(
                f"grace_exporter_{self.what}_last_reload_successful",
                [Sample((), float(self.successful))],
                help_text="Whether the configuration was accepted when it was last read.",
            ),
            family(
                f"grace_exporter_{self.what}_last_reload_success_timestamp_seconds",
                [Sample((), self.at)],
                help_text="When a configuration was last accepted.",
            ),
        ]


class OwnMetrics:
    """The tail of every answer: this process, its version, its reloads, and what `more` adds."""

    def __init__(self, reloads: Reloads, more: Callable[[], list[Family]] = list) -> None:
        self._reloads = reloads
        self._more = more
        # Its own empty registry: the default one might be another application's.
        self._process = ProcessCollector(registry=CollectorRegistry())
        labels = labels_of({"version": version("grace")})
        self._build = family(
            "grace_exporter_build_info", [Sample(labels, 1.0)], help_text="Which version of Grace this is."
        )

    def tail(self, form: Format) -> bytes:
        """Rendered, with the end mark that OpenMetrics wants."""
        families = [*self._of_process(), self._build, *self._reloads.families(), *self._more()]
        end = b"# EOF\n" if form is Format.OPENMETRICS else b""
        return join(render_all(families), form)[0] + end

    def _of_process(self) -> list[Family]:
        return [
            Family(
                metric.samples[0].name,
                Kind(metric.type),
                metric.documentation,
                tuple(Sample(labels_of(each.labels), each.value) for each in metric.samples),
            )
            for metric in self._process.collect()
            if metric.samples
        ]

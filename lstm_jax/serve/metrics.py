"""What a server counts, in the text format of Prometheus.

The format is a dozen lines of code; the library for it would bring threads, processes and a
registry for the whole program.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class _Metric(Protocol):
    name: str
    help: str
    kind: str

    def samples(self) -> Iterator[str]:
        """A line for each of its numbers."""
        ...


class Counter:
    """A number that grows, for each combination of its labels."""

    kind = "counter"

    def __init__(self, name: str, help: str, labels: Sequence[str] = ()) -> None:
        """Without labels it begins with 0, with labels with nothing."""
        self.name, self.help, self._labels = name, help, tuple(labels)
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}

    def add(self, amount: float = 1, *labels: str) -> None:
        """Adds to the number with these values of the labels."""
        self._values[labels] = self._values.get(labels, 0.0) + amount

    def samples(self) -> Iterator[str]:
        """A line for each combination."""
        for values, amount in sorted(self._values.items()):
            pairs = zip(self._labels, values, strict=True)
            labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
            yield (
                f"{self.name}{{{labels}}} {amount:.15g}" if labels else f"{self.name} {amount:.15g}"
            )


class Gauge:
    """A number that is asked for when it is shown."""

    kind = "gauge"

    def __init__(self, name: str, help: str, value: Callable[[], float]) -> None:
        """`value` gives the number."""
        self.name, self.help, self._value = name, help, value

    def samples(self) -> Iterator[str]:
        """One line."""
        yield f"{self.name} {self._value():.15g}"


class Histogram:
    """How often numbers up to some bounds were seen."""

    kind = "histogram"

    def __init__(self, name: str, help: str, bounds: Sequence[float]) -> None:
        """`bounds` increase; the last bucket, of what is larger, is added."""
        self.name, self.help, self._bounds = name, help, tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Counts a number."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def samples(self) -> Iterator[str]:
        """A line for each bound, the sum and the count."""
        count = 0
        for bound, of_bucket in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            count += of_bucket
            yield f'{self.name}_bucket{{le="{bound}"}} {count}'
        yield f"{self.name}_sum {self.sum:.15g}"
        yield f"{self.name}_count {count}"


class Metrics:
    """All that a server counts."""

    def __init__(
        self,
        queue: Callable[[], int],
        explanations: Callable[[], int],
        compilations: Callable[[], int],
    ) -> None:
        """The first two give what waits or is computed, the last what JAX has compiled so far."""
        self.requests = Counter(
            "lstm_jax_requests_total", "Requests that were answered.", ("path", "status")
        )
        self.seconds = Histogram(
            "lstm_jax_request_seconds",
            "Seconds from a request's first line to its answer.",
            _SECONDS,
        )
        self.texts = Counter("lstm_jax_texts_total", "Texts that were predicted.")
        self.batches = Histogram(
            "lstm_jax_batch_texts", "Texts that were predicted together.", _SIZES
        )
        self.computing = Counter(
            "lstm_jax_predicting_seconds_total", "Seconds in which texts were predicted."
        )
        self._all: tuple[_Metric, ...] = (
            *(self.requests, self.seconds, self.texts, self.batches, self.computing),
            Gauge("lstm_jax_queue_texts", "Texts that wait or are being predicted.", queue),
            Gauge(
                "lstm_jax_queue_explanations",
                "Explanations that wait or are being computed.",
                explanations,
            ),
            Gauge(
                "lstm_jax_compilations", "Programs that this process has compiled.", compilations
            ),
        )

    def text(self) -> str:
        """Everything, as Prometheus reads it."""
        lines = []
        for metric in self._all:
            lines.append(f"# HELP {metric.name} {metric.help}")
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            lines += metric.samples()
        return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

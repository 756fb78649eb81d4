"""What a web server counts, and how it shows that: as OpenMetrics text, which Prometheus and others read."""

from typing import Final

from ._http import EDGES, Tally

__all__ = ["CONTENT_TYPE", "Counters"]

#: Of the text.
CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Counters(Tally):
    """Counts of one server since it was made; those of answers are in the base, which is in C.

    `labels` are added to every line: {"worker": "3"}.
    """

    __slots__ = (
        "_labels",
        "connections",
        "errors",
        "open",
        "refused",
        "timeouts",
        "turned_away",
    )

    def __init__(self, labels: dict[str, str] | None = None) -> None:
        #: Connections accepted, and how many of them are open.
        self.connections = 0
        self.open = 0
        #: Connections closed at once because there were too many, of all or of one address.
        self.turned_away = 0
        #: Requests that were answered before any application saw them, by status.
        self.refused: dict[int, int] = {}
        #: Connections cut because a deadline was over, by its name.
        self.timeouts: dict[str, int] = {}
        #: Exceptions of applications.
        self.errors = 0
        self._labels = dict(labels or {})

    @property
    def requests(self) -> int:
        """Requests that an application has answered."""
        return sum(self.statuses)

    def refuse(self, status: int) -> None:
        """Count one request that no application saw."""
        self.refused[status] = self.refused.get(status, 0) + 1

    def cut(self, deadline: str) -> None:
        """Count one connection that was cut because the seconds of a deadline, of this name, were over."""
        self.timeouts[deadline] = self.timeouts.get(deadline, 0) + 1

    def text(self) -> str:
        """All of it as OpenMetrics text. Never switches."""
        lines: list[str] = []

        def family(
            name: str, kind: str, about: str, samples: list[tuple[str, dict[str, str], float]]
        ) -> None:
            lines.append(f"# TYPE {name} {kind}")
            lines.append(f"# HELP {name} {about}")
            for suffix, labels, value in samples:
                inner = ",".join(
                    f'{key}="{_label(text)}"' for key, text in {**self._labels, **labels}.items()
                )
                lines.append(f"{name}{suffix}{{{inner}}} {value!r}" if inner else f"{name}{suffix} {value!r}")

        one: dict[str, str] = {}
        family("http_connections", "counter", "Connections accepted.", [("_total", one, self.connections)])
        family("http_connections_open", "gauge", "Connections that are open.", [("", one, self.open)])
        family(
            "http_connections_turned_away",
            "counter",
            "Connections closed at once because there were too many.",
            [("_total", one, self.turned_away)],
        )
        classes = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
        family(
            "http_requests",
            "counter",
            "Requests answered by the application, by class of status.",
            [("_total", {"status": name}, count) for name, count in zip(classes, self.statuses, strict=True)],
        )
        family(
            "http_requests_refused",
            "counter",
            "Requests refused before the application saw them, by status.",
            [("_total", {"status": str(status)}, count) for status, count in sorted(self.refused.items())],
        )
        family(
            "http_timeouts",
            "counter",
            "Connections cut at a deadline.",
            [("_total", {"deadline": name}, count) for name, count in sorted(self.timeouts.items())],
        )
        family("http_sent_bytes", "counter", "Bytes of bodies sent.", [("_total", one, self.bytes_sent)])
        family(
            "http_received_bytes",
            "counter",
            "Bytes of bodies received.",
            [("_total", one, self.bytes_received)],
        )
        family("http_errors", "counter", "Exceptions of the application.", [("_total", one, self.errors)])
        below, samples = 0, []
        for edge, count in zip((*map(repr, EDGES), "+Inf"), self.buckets, strict=True):
            below += count
            samples.append(("_bucket", {"le": edge}, float(below)))
        samples += [("_count", one, float(below)), ("_sum", one, self.seconds)]
        family(
            "http_request_seconds", "histogram", "Time from a request's head to its answer's end.", samples
        )
        lines.append("# EOF\n")
        return "\n".join(lines)


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

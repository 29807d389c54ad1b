"""An OpenTelemetry collector that keeps the spans it is sent."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True)
class Span:
    """What tests ask of a span."""

    service: str  # for example `visiontune-storage`
    name: str
    trace_id: str  # hex
    span_id: str
    parent_id: str  # empty for the first of a trace


@dataclass
class Collector:
    """A gRPC server on the loopback interface."""

    endpoint: str = ""
    _spans: list[Span] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def spans(self, trace_id: str) -> list[Span]:
        """The spans of one trace that have arrived."""
        with self._lock:
            return [span for span in self._spans if span.trace_id == trace_id]

    def Export(self, request: Any, _context: Any) -> Any:
        arrived = [
            Span(
                next(
                    each.value.string_value
                    for each in batch.resource.attributes
                    if each.key == "service.name"
                ),
                span.name,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
            )
            for batch in request.resource_spans
            for scope in batch.scope_spans
            for span in scope.spans
        ]
        with self._lock:
            self._spans.extend(arrived)
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def collector() -> Iterator[Collector]:
    """Runs a collector on a free port."""
    server = grpc.server(ThreadPoolExecutor(2))
    collected = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collected, server)  # type: ignore[no-untyped-call]  # generated
    collected.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collected
    finally:
        server.stop(None).wait()

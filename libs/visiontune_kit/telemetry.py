"""Traces to OTLP and metrics for Prometheus, set up once a process."""

from collections.abc import Mapping
from typing import Any

from opentelemetry import context, metrics, propagate, trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import start_http_server

_SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# As every channel of ours: a collector is a neighbour. The stubs want text, gRPC a number.
_DIRECT: Any = (("grpc.enable_http_proxy", 0),)


def configure(
    program: str, *, otlp_endpoint: str = "", metrics_host: str = "127.0.0.1", metrics_port: int = 0
) -> None:
    """Starts exporting. Spans are made also without an endpoint, so that logs carry trace ids."""
    resource = Resource.create({SERVICE_NAME: f"visiontune-{program}"})
    provider = TracerProvider(resource=resource)
    if otlp_endpoint:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 - a tenth of a start
            OTLPSpanExporter,
        )

        exporter = OTLPSpanExporter(
            endpoint=otlp_endpoint,
            insecure=otlp_endpoint.startswith("http://"),
            channel_options=_DIRECT,
        )
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(
        MeterProvider(
            resource=resource,
            metric_readers=[PrometheusMetricReader()],
            views=[
                View(
                    instrument_name="*_seconds",
                    aggregation=ExplicitBucketHistogramAggregation(_SECONDS_BUCKETS),
                )
            ],
        )
    )
    if metrics_port:
        start_http_server(metrics_port, addr=metrics_host)


def shutdown() -> None:
    """Sends what is still buffered."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def tracer() -> trace.Tracer:
    """Returns the tracer with which all of VisionTune makes spans."""
    return trace.get_tracer("visiontune")


def current_traceparent() -> str:
    """Returns the running span as a W3C `traceparent`, or an empty string."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent", "")


def extract(carrier: Mapping[str, str]) -> context.Context:
    """Returns the context that W3C headers describe."""
    return propagate.extract(carrier)

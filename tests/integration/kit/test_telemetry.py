"""Traces on their way to a collector."""

import subprocess
import sys

import pytest

from tests.support import otlp

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
# A process of its own: telemetry is set up once a process.
PROGRAM = """
import sys
from visiontune_kit import telemetry
telemetry.configure("test", otlp_endpoint=sys.argv[1])
parent = telemetry.extract({"traceparent": f"00-{sys.argv[2]}-00f067aa0ba902b7-01"})
with telemetry.tracer().start_as_current_span("work", context=parent):
    pass
telemetry.shutdown()
"""


@pytest.mark.usefixtures("dead_proxy")
def test_traces_do_not_go_through_a_proxy() -> None:
    with otlp.collector() as collector:
        subprocess.run([sys.executable, "-c", PROGRAM, collector.endpoint, TRACE], check=True, timeout=60)
        assert [span.name for span in collector.spans(TRACE)] == ["work"]

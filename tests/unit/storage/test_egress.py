"""Counters of what the object store sends, and their sums."""

from datetime import UTC, datetime, timedelta

import pytest
from visiontune_storage.adapters.store_metrics import sent_bytes
from visiontune_storage.domain.egress import EgressHour, egress_of, grown

SEAWEEDFS = """\
# TYPE SeaweedFS_s3_bucket_traffic_sent_bytes_total counter
SeaweedFS_s3_bucket_traffic_received_bytes_total{bucket="ours"} 7
SeaweedFS_s3_bucket_traffic_sent_bytes_total{bucket="ours"} 3.00105e+09
SeaweedFS_s3_bucket_traffic_sent_bytes_total{bucket="theirs"} 5
"""
MINIO = """\
minio_bucket_traffic_sent_bytes{bucket="ours",server="one:9000"} 40
minio_bucket_traffic_sent_bytes{bucket="ours",server="two:9000"} 2
minio_bucket_traffic_sent_bytes{bucket="theirs",server="two:9000"} 9
"""
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GIB = 1024**3


@pytest.mark.parametrize(
    ("page", "bytes_"), [(SEAWEEDFS, 3_001_050_000), (MINIO, 42), ("", 0), ("<html>", 0)]
)
def test_the_bucket_s_counter_is_read_from_either_server_s_page(page: str, bytes_: int) -> None:
    assert sent_bytes(page, "ours") == bytes_


@pytest.mark.parametrize(
    ("before", "now", "bytes_"),
    [(None, 500, 0), (500, 500, 0), (500, 700, 200), (700, 30, 30)],
    ids=["first seen", "still", "more", "the store began anew"],
)
def test_a_counter_grows(before: int | None, now: int, bytes_: int) -> None:
    assert grown(before, now) == bytes_


def test_hours_are_summed_by_day_without_our_own_reading() -> None:
    hours = [
        EgressHour(NOON, 3 * GIB, GIB),
        EgressHour(NOON + timedelta(hours=1), GIB, 0),
        EgressHour(NOON + timedelta(days=1), 0, GIB),
    ]
    found = egress_of(hours, price_per_gib=0.5)
    midnight = NOON - timedelta(hours=12)
    assert found.days == [(midnight, 3 * GIB), (midnight + timedelta(days=1), 0)]
    assert (found.sent_bytes, found.cost) == (3 * GIB, 1.5)
    assert egress_of([], None).cost is None

"""A job is paused and resumed from the command line, by the real worker."""

from pathlib import Path

import pytest
from visiontune import names

from tests.support import archives
from tests.support.stack import Stack


@pytest.mark.slow
def test_the_cli_pauses_resumes_and_fetches_the_logs(stack: Stack, tmp_path: Path) -> None:
    archive = tmp_path / "pausing.tar"
    archive.write_bytes(archives.tar(archives.numbered(12)))
    stack.cli("dataset", "import", str(archive), "-d", "pausing")
    with stack.client() as client:
        stack.cli(
            "train",
            "--dataset",
            "pausing",
            "--model",
            "tiny-llava",
            "--name",
            "pausing",
            "--epochs",
            "40",
            "--no-wait",
        )
        assert "PAUSED" in stack.cli("job", "pause", "pausing").stdout
        paused = client.get_job("pausing")
        assert (paused.attempt, paused.uncharged_attempts) in {(0, 0), (1, 1)}
        assert "QUEUED" in stack.cli("job", "resume", "pausing").stdout
        for update in client.watch_job("pausing"):
            if update.metric.step >= 5:
                break
        assert "PAUSED" in stack.cli("job", "pause", "pausing").stdout
        step = client.get_job("pausing").progress.step
        stack.cli("job", "resume", "pausing", "--wait")
        stack.cli("job", "watch", "pausing")
        losses = [point.step for point in client.list_metrics("pausing") if "loss" in point.values]
        assert 5 <= step < losses[-1] == 40
        assert losses == sorted(set(losses))
        stack.cli("job", "logs", "pausing", "--download", str(tmp_path / "logs"))
        kept = {names.short(log.name) for log in client.list_attempt_logs("pausing")}
        assert {path.stem for path in (tmp_path / "logs").iterdir()} == kept
        assert f"attempt-{client.get_job('pausing').attempt - 1}" in kept
    stack.cli("job", "delete", "pausing")

"""The local backend with real processes."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from visiontune_recipes.spec import Resources, Spot
from visiontune_trainer.compute import devices
from visiontune_trainer.compute.local import LocalBackend
from visiontune_trainer.domain.next_step import Observation, Sight
from visiontune_trainer.domain.problems import LaunchRefused
from visiontune_trainer.ports import AcceleratorKind, Launch

from tests.support.eventually import eventually

ATTEMPT = "projects/default/trainingJobs/digits/attempts/1"
LAUNCH = Launch(ATTEMPT, "vtw_secret", "00-trace")
SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True); time.sleep(60)"
)
SECRETS = (
    "VISIONTUNE_STORAGE_S3_SECRET_KEY",
    "VISIONTUNE_S3_SECRET_KEY",
    "VISIONTUNE_DATABASE_URL",
    "VISIONTUNE_TRAINER_DATABASE_URL",
    "VISIONTUNE_SIGNING_KEY_FILE",
    "AWS_SECRET_ACCESS_KEY",
    "PGPASSWORD",
)
OBEDIENT = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(75));"
    "print('up', flush=True); time.sleep(60)"
)


def test_what_takes_a_cluster_is_refused(tmp_path: Path) -> None:
    fine = Resources(accelerator="nvidia-l4", accelerator_count=1, nodes=1, spot=Spot.NEVER)
    assert backend(tmp_path, SLEEP).problems_of(fine) == []
    asked = Resources(accelerator_count=2, nodes=2, spot=Spot.ONLY, queue="q", priority="high")
    problems = backend(tmp_path, SLEEP).problems_of(asked)
    assert [problem.field.removeprefix("resources.") for problem in problems] == [
        "accelerator_count",
        "nodes",
        "spot",
        "queue",
        "priority",
    ]


NONE: list[AcceleratorKind] = []
L4 = [devices.named("nvidia-l4:24")]


@pytest.mark.parametrize(
    ("here", "asked", "field", "told"),
    [
        (None, Resources(accelerator="nvidia-l4", accelerator_count=1), None, ""),
        (NONE, Resources(), None, ""),
        (NONE, Resources(accelerator_count=1), "accelerator_count", "has no accelerator"),
        (NONE, Resources(accelerator="a100", accelerator_count=1), "accelerator", "has no accelerator"),
        (L4, Resources(), None, ""),
        (L4, Resources(accelerator_count=1), None, ""),
        (L4, Resources(accelerator="nvidia-l4", accelerator_count=1), None, ""),
        (L4, Resources(accelerator="a100", accelerator_count=1), "accelerator", "which has nvidia-l4"),
    ],
)
def test_an_accelerator_that_is_not_here_is_refused_with_what_is(
    tmp_path: Path, here: list[AcceleratorKind] | None, asked: Resources, field: str | None, told: str
) -> None:
    local = backend(tmp_path, SLEEP, accelerators=here)
    assert local.accelerators() == (here or [])
    found = local.problems_of(asked)
    assert [each.field for each in found] == ([f"resources.{field}"] if field else [])
    assert all(told in each.message and "train on processors" in each.remedy for each in found)


def backend(folder: Path, program: str, **settings: object) -> LocalBackend:
    command = (sys.executable, "-c", program)
    values = {"slots": 1, "environment": {"FROM_TRAINER": "yes"}, "stop_grace_s": 0.5, **settings}
    return LocalBackend(folder, command=command, **values)  # type: ignore[arg-type]  # values of mixed types


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """A folder in which no process survives the test."""
    yield tmp_path
    cleaner = backend(tmp_path, SLEEP, stop_grace_s=0.01)
    for attempt in await cleaner.attempts():
        await until_stopped(cleaner, attempt)


async def until_stopped(local: LocalBackend, attempt: str = ATTEMPT) -> None:
    await eventually(lambda: local.stop(attempt))


async def until(local: LocalBackend, sight: Sight) -> Observation:
    async def seen() -> Observation | None:
        found = await local.observe(ATTEMPT)
        return found if found.sight is sight else None

    found: Observation = await eventually(seen)
    return found


def output_of(folder: Path) -> str:
    return (folder / "default.digits.1" / "worker.log").read_text()


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def own_stat() -> str:
    return Path("/proc/self/stat").read_text()


def write_run(home: Path, stat: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "run").write_text(stat)


def pid_of(folder: Path) -> int:
    return int((folder / "default.digits.1" / "run").read_text().split()[0])


async def test_a_worker_lives_in_a_session_of_its_own_and_leaves_nothing(folder: Path) -> None:
    local = backend(folder, SLEEP)
    assert (await local.observe(ATTEMPT)).sight is Sight.ABSENT
    await local.launch(LAUNCH)
    assert (await local.observe(ATTEMPT)).sight is Sight.ALIVE
    assert await local.attempts() == [ATTEMPT]
    pid = pid_of(folder)
    assert os.getsid(pid) == pid
    await until_stopped(local)
    assert await local.attempts() == []
    assert names_in(folder) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_launching_twice_finds_the_first(folder: Path) -> None:
    local = backend(folder, SLEEP)
    await asyncio.gather(*(local.launch(LAUNCH) for _ in range(3)), return_exceptions=True)
    pid = pid_of(folder)
    await backend(folder, SLEEP).launch(LAUNCH)
    assert pid_of(folder) == pid
    assert await local.attempts() == [ATTEMPT]


async def test_another_trainer_adopts_the_worker(folder: Path) -> None:
    await backend(folder, SLEEP).launch(LAUNCH)
    heir = backend(folder, SLEEP)
    assert (await heir.observe(ATTEMPT)).sight is Sight.ALIVE
    await until_stopped(heir)


async def test_a_pid_that_was_given_to_another_process_is_not_the_worker(folder: Path) -> None:
    home = folder / "default.digits.1"
    stat = own_stat()
    write_run(home, stat)
    local = backend(folder, SLEEP)
    assert (await local.observe(ATTEMPT)).sight is Sight.ALIVE
    before, _, after = stat.rpartition(")")
    fields = after.split()
    fields[19] = str(int(fields[19]) - 1)
    write_run(home, f"{before}) {' '.join(fields)}\n")
    assert (await local.observe(ATTEMPT)).sight is Sight.EXITED
    assert await local.stop(ATTEMPT)


async def test_the_exit_code_and_the_last_words_are_told(folder: Path) -> None:
    local = backend(folder, "import sys; print('no such model'); sys.exit(64)")
    await local.launch(LAUNCH)
    seen = await until(local, Sight.EXITED)
    assert seen == Observation(Sight.EXITED, 64, "no such model")


async def test_a_worker_is_told_its_own_things_and_no_secrets_of_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for secret in SECRETS:
        monkeypatch.setenv(secret, "hidden")
    monkeypatch.setenv("VISIONTUNE_WORKER_THREADS", "3")
    monkeypatch.setenv("HF_HOME", "/models")
    local = backend(folder, "import os; [print(k, v) for k, v in sorted(os.environ.items())]")
    await local.launch(LAUNCH)
    await until(local, Sight.EXITED)
    told = output_of(folder)
    assert f"VISIONTUNE_WORKER_ATTEMPT {ATTEMPT}" in told
    assert "VISIONTUNE_WORKER_TOKEN vtw_secret" in told
    assert "TRACEPARENT 00-trace" in told
    assert "FROM_TRAINER yes" in told
    assert "HF_HOME /models" in told
    assert "VISIONTUNE_WORKER_THREADS 3" in told
    assert "hidden" not in told


async def test_the_operators_word_to_workers_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONTUNE_WORKER_LOG_LEVEL", "debug")
    told = {"VISIONTUNE_WORKER_LOG_LEVEL": "info", "VISIONTUNE_WORKER_LOG_FORMAT": "json"}
    local = backend(folder, "import os; print(os.environ)", environment=told)
    await local.launch(LAUNCH)
    await until(local, Sight.EXITED)
    assert "'VISIONTUNE_WORKER_LOG_LEVEL': 'debug'" in output_of(folder)
    assert "'VISIONTUNE_WORKER_LOG_FORMAT': 'json'" in output_of(folder)


async def test_a_worker_that_will_not_leave_is_killed(folder: Path) -> None:
    local = backend(folder, STUBBORN, stop_grace_s=0.2)
    await local.launch(LAUNCH)
    await eventually(lambda: "up" in output_of(folder))
    started = time.monotonic()
    await until_stopped(local)
    assert time.monotonic() - started >= 0.2


async def test_closing_asks_the_workers_to_leave(folder: Path) -> None:
    local = backend(folder, OBEDIENT)
    await local.launch(LAUNCH)
    await eventually(lambda: "up" in output_of(folder))
    await local.close()
    assert (await local.observe(ATTEMPT)).exit_code == 75


async def test_closing_can_leave_the_workers_running(folder: Path) -> None:
    local = backend(folder, SLEEP, stop_workers_at_exit=False)
    await local.launch(LAUNCH)
    await local.close()
    assert (await local.observe(ATTEMPT)).sight is Sight.ALIVE


async def test_a_folder_that_cannot_be_made_refuses_the_launch(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(LaunchRefused):
        await backend(tmp_path / "taken", SLEEP).launch(LAUNCH)


async def test_killing_takes_what_the_worker_started(folder: Path) -> None:
    program = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    local = backend(folder, program, stop_grace_s=0.1)
    await local.launch(LAUNCH)
    child = await eventually(lambda: output_of(folder).strip())
    await until_stopped(local)
    await eventually(lambda: not is_alive(int(child)))

from pathlib import Path

import pytest
from visiontune_stack import programs
from visiontune_stack.home import Home
from visiontune_stack.ports import Ports
from visiontune_stack.programs import Plan, Program, S3Keys
from visiontune_stack.settings import StackSettings

PLAN = Plan(Home(Path("/home/x")), Ports(9000), S3Keys("access", "hush-hush"), weed="/bin/weed")
SHELL = {
    "PATH": "/bin",
    "AWS_SECRET_ACCESS_KEY": "of-the-shell",
    "VISIONTUNE_STORAGE_S3_SECRET_KEY": "of-the-shell",
    "VISIONTUNE_S3_SECRET_KEY": "common-of-the-shell",
    "VISIONTUNE_HOME": "/elsewhere",
    "VISIONTUNE_PORT": "1",
    "VISIONTUNE_LOG_LEVEL": "debug",
}


def by_name() -> dict[str, Program]:
    return {program.name: program for program in programs.programs(PLAN)}


def test_programs_come_in_the_order_in_which_they_need_each_other() -> None:
    assert list(by_name()) == ["seaweedfs", "storage", "dataset", "trainer", "gateway"]


def test_only_storage_and_the_store_see_credentials() -> None:
    for name, program in by_name().items():
        seen = str(program.environment(SHELL))
        assert ("hush-hush" in seen) == (name in {"seaweedfs", "storage"}), name
        assert ("of-the-shell" in seen) == (name in {"seaweedfs", "storage"}), name
        assert ("common-of-the-shell" in seen) == (name in {"seaweedfs", "storage"}), name


def test_a_server_sees_its_own_database_alone_and_the_operators_is_migrated_first() -> None:
    given = {
        "VISIONTUNE_STORAGE_DATABASE_URL": "postgresql+asyncpg://storage:hush@db/s",
        "VISIONTUNE_DATASET_DATABASE_URL": "postgresql+asyncpg://dataset:hush@db/d",
        "VISIONTUNE_DATABASE_URL": "postgresql+asyncpg://one-for-all@db/x",
    }
    for name, program in by_name().items():
        seen = {key for key in program.environment(given) if key.endswith("DATABASE_URL")}
        assert seen == (set() if name == "seaweedfs" else {program.database_variable}), name
    migrated = programs.with_own_database(PLAN, given)
    assert [program.name for program in migrated] == ["storage", "dataset"]
    assert programs.migrate(migrated[0])[1:] == ("-m", "visiontune_storage", "migrate")


def test_another_object_store_replaces_the_embedded_one() -> None:
    plan = Plan(PLAN.home, PLAN.ports, s3=None)
    given = {"VISIONTUNE_STORAGE_S3_ENDPOINT": "s3.example.org", "VISIONTUNE_STORAGE_S3_SECRET_KEY": "k"}
    found = {program.name: program for program in programs.programs(plan)}
    assert "seaweedfs" not in found
    assert found["storage"].environment(given)["VISIONTUNE_STORAGE_S3_ENDPOINT"] == "s3.example.org"
    assert "VISIONTUNE_STORAGE_S3_SECRET_KEY" not in found["trainer"].environment(given)


ORIGINS = "VISIONTUNE_GATEWAY_OBJECT_STORE_ORIGINS"


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ({}, None),
        ({"VISIONTUNE_S3_ENDPOINT": "minio:9000"}, "http://minio:9000 http://b.minio:9000"),
        (
            {"VISIONTUNE_STORAGE_S3_ENDPOINT": "s3.example.org", "VISIONTUNE_STORAGE_S3_SECURE": "True"},
            "https://s3.example.org https://b.s3.example.org",
        ),
        (
            {
                "VISIONTUNE_STORAGE_S3_ENDPOINT": "minio:9000",
                "VISIONTUNE_STORAGE_S3_PUBLIC_ENDPOINT": "s3.example.org",
                "VISIONTUNE_STORAGE_S3_PUBLIC_SECURE": "1",
            },
            "https://s3.example.org https://b.s3.example.org",
        ),
        (
            {"VISIONTUNE_S3_ENDPOINT": "ref.example.org/v1/s3"},
            "http://ref.example.org http://b.ref.example.org",
        ),
        ({"VISIONTUNE_STORAGE_S3_ENDPOINT": "minio:9000", ORIGINS: "https://cdn"}, "https://cdn"),
    ],
)
def test_the_web_app_may_reach_the_object_store_that_urls_are_signed_for(
    given: dict[str, str], origins: str | None, tmp_path: Path
) -> None:
    given = {**given, "VISIONTUNE_STORAGE_BUCKET": "b"}
    gateway = programs.gateway(plan(given, tmp_path))
    assert gateway.environment(given).get(ORIGINS) == origins


def test_the_bucket_can_be_named_for_the_embedded_store_too(tmp_path: Path) -> None:
    for given, bucket in (({}, programs.DEFAULT_BUCKET), ({"VISIONTUNE_STORAGE_BUCKET": "own"}, "own")):
        store, storage, *_ = programs.programs(plan(given, tmp_path))
        assert f"-bucket={bucket}" in store.command
        assert storage.environment(given)["VISIONTUNE_STORAGE_BUCKET"] == bucket


def plan(given: dict[str, str], home: Path) -> Plan:
    return programs.plan_of(StackSettings(home=home), given, keys=lambda: S3Keys("access", "hush-hush"))


def test_the_shells_variables_reach_the_programs_but_cannot_unwire_them() -> None:
    trainer = by_name()["trainer"]
    given = {
        **SHELL,
        "VISIONTUNE_STORAGE_TARGET": "evil:1",
        "VISIONTUNE_TRAINER_DATABASE_URL": "postgresql+asyncpg://x",
    }
    seen = trainer.environment(given)
    assert seen["VISIONTUNE_LOG_LEVEL"] == "debug"
    assert seen["VISIONTUNE_STORAGE_TARGET"] == "127.0.0.1:9001"
    assert seen["VISIONTUNE_TRAINER_DATABASE_URL"] == "postgresql+asyncpg://x"
    assert "VISIONTUNE_PORT" not in seen


def test_everything_listens_on_the_loopback_interface_alone() -> None:
    found = by_name()
    store = found["seaweedfs"].command
    assert "-ip.bind=127.0.0.1" in store
    assert "-master.telemetry=false" in store
    for name in ("storage", "dataset", "trainer", "gateway"):
        assert found[name].wiring[f"VISIONTUNE_{name.upper()}_HOST"] == "127.0.0.1"


def test_no_two_programs_share_a_port() -> None:
    ports = [port for program in by_name().values() for port in program.ports]
    assert len(ports) == len(set(ports))
    assert {9000, 9001, 9002, 9003, 9004, 9010, 9020} <= set(ports)


def test_the_digest_changes_with_the_wiring_and_not_with_the_shell() -> None:
    storage = by_name()["storage"]
    moved = {p.name: p for p in programs.programs(Plan(PLAN.home, Ports(9100), PLAN.s3))}["storage"]
    assert storage.digest({"TERM": "xterm"}) == storage.digest({"TERM": "dumb"})
    assert storage.digest({}) != moved.digest({})
    assert storage.digest({}) != storage.digest({"VISIONTUNE_LOG_LEVEL": "debug"})


def test_one_variable_switches_vision_off_in_every_program_and_starts_them_again() -> None:
    off = {"ENABLE_VISION_TRAINING": "false"}
    for name in ("dataset", "trainer"):
        program = by_name()[name]
        assert program.environment(off)["ENABLE_VISION_TRAINING"] == "false"
        assert program.digest(off) != program.digest({})


def test_secrets_are_not_on_any_command_line() -> None:
    assert "hush-hush" not in str([program.command for program in programs.programs(PLAN)])
    assert "hush-hush" not in repr(PLAN)

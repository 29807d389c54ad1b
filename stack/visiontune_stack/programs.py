"""What the stack runs: a table of programs with their commands and environments. Pure."""

import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from visiontune_stack.home import Home
from visiontune_stack.ports import LOOPBACK, Ports
from visiontune_stack.settings import StackSettings

OBJECT_STORE = "seaweedfs"
DEFAULT_BUCKET = "vision-training-datasets"
# Variables that name the object store's credentials: nobody but storage and the store sees them.
SECRET_PREFIXES = ("VISIONTUNE_STORAGE_S3_", "VISIONTUNE_S3_", "AWS_")
# As pydantic reads a bool.
_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
# Where a server's own database is; nobody else's business, as it may hold a password.
_OF_A_DATABASE = re.compile(r"VISIONTUNE_(\w+_)?DATABASE_URL")
# The variables of the stack and the CLI, which mean something else to a server, or nothing.
OWN_VARIABLES = frozenset({"VISIONTUNE_HOME", "VISIONTUNE_PORT", "VISIONTUNE_API_KEY", "VISIONTUNE_SERVER"})


@dataclass(frozen=True, slots=True)
class Program:
    """One child process of the stack."""

    name: str
    command: tuple[str, ...]
    # What holds the programs together: nobody can set these otherwise.
    wiring: Mapping[str, str]
    # What an operator's own variable replaces.
    defaults: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    # Whether it may see the object store's credentials.
    trusted: bool = False

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """All variables of the process, where `given` are the operator's."""
        visible = {
            name: value
            for name, value in given.items()
            if name not in OWN_VARIABLES
            and (self.trusted or not name.startswith(SECRET_PREFIXES))
            and (name == self.database_variable or not _OF_A_DATABASE.fullmatch(name))
        }
        return {**self.defaults, **visible, **self.wiring}

    @property
    def database_variable(self) -> str:
        """The variable that says where a server's database is."""
        return f"VISIONTUNE_{self.name.upper()}_DATABASE_URL"

    def digest(self, given: Mapping[str, str]) -> str:
        """Another digest means that a running process is not the one that is wanted."""
        ours = {k: v for k, v in self.environment(given).items() if k.startswith(("VISIONTUNE_", "ENABLE_"))}
        text = json.dumps([self.command, sorted({**ours, **self.wiring}.items())])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class S3Keys:
    """Credentials of the embedded object store."""

    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the table depends on."""

    home: Home
    ports: Ports
    # None when the operator named another object store; then none is started.
    s3: S3Keys | None
    bucket: str = DEFAULT_BUCKET
    # Origins of the operator's own object store, for the web app; empty with the embedded one.
    object_store_origins: str = ""
    object_store_memory_mib: int = 384
    stop_grace_s: float = 20.0
    # Path of the `weed` program.
    weed: str = "weed"


def plan_of(
    settings: StackSettings, given: Mapping[str, str], *, keys: Callable[[], S3Keys], weed: str = "weed"
) -> Plan:
    """What to run, where `given` are the operator's variables and `keys` those of the embedded store."""
    origins = object_store_origins(given)
    return Plan(
        home=settings.layout,
        ports=Ports(settings.port),
        s3=None if origins else keys(),
        bucket=of_storage(given, "BUCKET", DEFAULT_BUCKET),
        object_store_origins=origins,
        object_store_memory_mib=settings.object_store_memory_mib,
        stop_grace_s=settings.stop_grace_s,
        weed=weed,
    )


def of_storage(given: Mapping[str, str], name: str, default: str = "") -> str:
    """What the operator set for storage, by its own variable or the common one, or the default."""
    return given.get(f"VISIONTUNE_STORAGE_{name}") or given.get(f"VISIONTUNE_{name}") or default


def object_store_origins(given: Mapping[str, str]) -> str:
    """Origins of signed URLs of the operator's own object store; empty when it is the embedded one.

    Some stores, as AWS (name its region's endpoint), are asked at a host of the bucket's own.
    """
    own = of_storage(given, "S3_ENDPOINT")
    if not own:
        return ""
    host = of_storage(given, "S3_PUBLIC_ENDPOINT", own)
    secure = of_storage(given, "S3_PUBLIC_SECURE", of_storage(given, "S3_SECURE"))
    host = host.partition("/")[0]  # an origin has no path
    scheme = "https" if secure.lower() in _TRUE else "http"
    return f"{scheme}://{host} {scheme}://{of_storage(given, 'BUCKET', DEFAULT_BUCKET)}.{host}"


def programs(plan: Plan) -> tuple[Program, ...]:
    """In the order in which they depend on each other; each bears the others being late."""
    store = (object_store(plan, plan.s3),) if plan.s3 else ()
    return (*store, storage(plan), dataset(plan), trainer(plan), gateway(plan))


def with_own_database(plan: Plan, given: Mapping[str, str]) -> tuple[Program, ...]:
    """Servers with a database of the operator's, which they do not bring to its schema by themselves."""
    return tuple(
        program
        for program in programs(plan)
        if program.name != OBJECT_STORE
        and not program.environment(given)[program.database_variable].startswith("sqlite")
    )


def migrate(server: Program) -> tuple[str, ...]:
    """Command that brings a server's database to its newest schema; harmless to repeat."""
    return (*server.command[:-1], "migrate")


def object_store(plan: Plan, keys: S3Keys) -> Program:
    """SeaweedFS, on the loopback interface only and telling nobody about itself."""
    ports = plan.ports
    return Program(
        name=OBJECT_STORE,
        command=(
            plan.weed,
            "mini",
            f"-dir={plan.home.objects}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            f"-s3.port={ports.s3}",
            *(f"-{flag}={port}" for flag, port in ports.seaweed.items()),
            f"-metricsIp={LOOPBACK}",
            f"-metricsPort={ports.s3_metrics}",
            f"-bucket={plan.bucket}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-admin.ui=false",
            "-webdav=false",
            "-master.telemetry=false",
        ),
        wiring={
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "GOMEMLIMIT": f"{plan.object_store_memory_mib}MiB",
        },
        ports=ports.of_object_store,
        trusted=True,
    )


def storage(plan: Plan) -> Program:
    """The only server that gets the object store's credentials."""
    store = {}
    if plan.s3:
        store = {
            "VISIONTUNE_STORAGE_S3_ENDPOINT": f"{LOOPBACK}:{plan.ports.s3}",
            "VISIONTUNE_STORAGE_S3_REGION": "us-east-1",
            "VISIONTUNE_STORAGE_S3_SECURE": "false",
            "VISIONTUNE_STORAGE_S3_ACCESS_KEY": plan.s3.access_key,
            "VISIONTUNE_STORAGE_S3_SECRET_KEY": plan.s3.secret_key,
            "VISIONTUNE_STORAGE_S3_METRICS_PAGES": f"http://{LOOPBACK}:{plan.ports.s3_metrics}/metrics",
        }
    return _server(
        plan,
        "storage",
        plan.ports.storage,
        plan.ports.storage_metrics,
        store,
        {"VISIONTUNE_STORAGE_BUCKET": plan.bucket},
        trusted=True,
    )


def dataset(plan: Plan) -> Program:
    """Imports archives and serves datasets."""
    links = {"VISIONTUNE_DATASET_PUBLIC_BASE_URL": f"http://{LOOPBACK}:{plan.ports.gateway}"}
    return _server(plan, "dataset", plan.ports.dataset, plan.ports.dataset_metrics, defaults=links)


def trainer(plan: Plan) -> Program:
    """Runs jobs, with workers as processes that outlive it."""
    own = {"VISIONTUNE_WORKER_TRAINER_TARGET": f"{LOOPBACK}:{plan.ports.trainer}"}
    return _server(plan, "trainer", plan.ports.trainer, plan.ports.trainer_metrics, own)


def gateway(plan: Plan) -> Program:
    """HTTP for people, gRPC for identity."""
    own = {"VISIONTUNE_GATEWAY_GRPC_PORT": str(plan.ports.identity)}
    ports, origins = plan.ports, plan.object_store_origins
    defaults = {"VISIONTUNE_GATEWAY_OBJECT_STORE_ORIGINS": origins} if origins else {}
    return _server(
        plan,
        "gateway",
        ports.gateway,
        ports.gateway_metrics,
        own,
        defaults,
        more_ports=(ports.identity,),
    )


def init_keys(plan: Plan) -> tuple[str, ...]:
    """Command that makes the services' signing keys; harmless when they exist."""
    return (sys.executable, "-m", "visiontune_gateway", "init-keys", "--keys-dir", str(plan.home.keys))


def create_api_key(plan: Plan) -> tuple[str, ...]:
    """Command that makes the operator's key; harmless when it exists and is valid."""
    command = (sys.executable, "-m", "visiontune_gateway", "create-api-key")
    return (*command, "--project", "default", "--role", "operator", "--file", str(plan.home.api_key))


def _server(
    plan: Plan,
    name: str,
    port: int,
    metrics_port: int,
    own: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
    *,
    more_ports: tuple[int, ...] = (),
    trusted: bool = False,
) -> Program:
    """A program of ours: `python -m visiontune_<name> serve`."""
    prefix = f"VISIONTUNE_{name.upper()}_"
    home, ports = plan.home, plan.ports
    return Program(
        name=name,
        command=(sys.executable, "-m", f"visiontune_{name}", "serve"),
        wiring={
            f"{prefix}HOST": LOOPBACK,
            f"{prefix}PORT": str(port),
            f"{prefix}METRICS_PORT": str(metrics_port),
            f"{prefix}SIGNING_KEY_FILE": str(home.keys / f"{name}.pem"),
            "VISIONTUNE_ISSUERS_FILE": str(home.keys / "issuers.json"),
            "VISIONTUNE_STORAGE_TARGET": f"{LOOPBACK}:{ports.storage}",
            "VISIONTUNE_DATASET_TARGET": f"{LOOPBACK}:{ports.dataset}",
            "VISIONTUNE_TRAINER_TARGET": f"{LOOPBACK}:{ports.trainer}",
            "VISIONTUNE_IDENTITY_TARGET": f"{LOOPBACK}:{ports.identity}",
            "VISIONTUNE_SCRATCH_DIR": str(home.scratch),
            # A server that ends by itself is better than one that is killed a moment later.
            "VISIONTUNE_STOP_GRACE_S": str(plan.stop_grace_s * 2 / 3),
            **(own or {}),
        },
        defaults={
            f"{prefix}DATABASE_URL": f"sqlite+aiosqlite:///{home.data / name}.db",
            **(defaults or {}),
        },
        ports=(port, metrics_port, *more_ports),
        trusted=trusted,
    )

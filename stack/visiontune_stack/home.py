"""Where a stack keeps its state: one folder, and what each file in it is."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """The folder VISIONTUNE_HOME."""

    root: Path

    @property
    def data(self) -> Path:
        """SQLite databases, one a service."""
        return self.root / "data"

    @property
    def keys(self) -> Path:
        """Signing keys of the services, and the object store's credentials. Mode 0700."""
        return self.root / "keys"

    @property
    def logs(self) -> Path:
        """One log a program."""
        return self.root / "logs"

    @property
    def scratch(self) -> Path:
        """Space that programs may lose at any time, but for the run files of workers."""
        return self.root / "scratch"

    @property
    def objects(self) -> Path:
        """What the embedded object store keeps."""
        return self.root / "objects"

    @property
    def api_key(self) -> Path:
        """The operator's API key of the project `default`."""
        return self.root / "api-key"

    @property
    def state(self) -> Path:
        """Which programs run, as the supervisor last wrote it."""
        return self.root / "stack.json"

    @property
    def lock(self) -> Path:
        """Held by the one supervisor of this home for as long as it lives."""
        return self.root / "stack.lock"

    @property
    def config(self) -> Path:
        """Settings of the stack that a person wrote."""
        return self.root / "config.toml"

    @property
    def s3_keys(self) -> Path:
        """Credentials of the embedded object store. Mode 0600."""
        return self.keys / "s3.json"

    def log_of(self, program: str) -> Path:
        """The log of one program."""
        return self.logs / f"{program}.log"

    def create(self) -> None:
        """Makes every folder; the root and the keys are the owner's alone."""
        for folder in (self.root, self.keys):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        for folder in (self.data, self.logs, self.scratch, self.objects):
            folder.mkdir(exist_ok=True)

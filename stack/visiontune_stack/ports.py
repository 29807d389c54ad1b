"""Which port is whose, as offsets from one base, and whether it is free."""

import socket
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
# SeaweedFS opens a gRPC port this far above each of its HTTP ports.
SEAWEED_GRPC_OFFSET = 10_000


@dataclass(frozen=True, slots=True)
class Ports:
    """All ports of a stack. Everything listens on the loopback interface only."""

    base: int

    @property
    def gateway(self) -> int:
        """HTTP: REST, web UI."""
        return self.base

    @property
    def storage(self) -> int:
        """Port of StorageService (gRPC)."""
        return self.base + 1

    @property
    def dataset(self) -> int:
        """Port of DatasetService (gRPC)."""
        return self.base + 2

    @property
    def trainer(self) -> int:
        """Port of TrainerService and WorkerService (gRPC)."""
        return self.base + 3

    @property
    def identity(self) -> int:
        """Port of IdentityService (gRPC), which the gateway serves."""
        return self.base + 4

    @property
    def gateway_metrics(self) -> int:
        """HTTP /metrics."""
        return self.base + 10

    @property
    def storage_metrics(self) -> int:
        """HTTP /metrics."""
        return self.base + 11

    @property
    def dataset_metrics(self) -> int:
        """HTTP /metrics."""
        return self.base + 12

    @property
    def trainer_metrics(self) -> int:
        """HTTP /metrics."""
        return self.base + 13

    @property
    def s3(self) -> int:
        """The object store's S3 endpoint."""
        return self.base + 20

    @property
    def seaweed(self) -> dict[str, int]:
        """SeaweedFS's own ports, by the name of the flag that sets them."""
        names = ("master.port", "filer.port", "volume.port", "admin.port")
        return {name: self.base + 21 + place for place, name in enumerate(names)}

    @property
    def s3_metrics(self) -> int:
        """SeaweedFS's HTTP /metrics."""
        return self.base + 29

    @property
    def of_object_store(self) -> tuple[int, ...]:
        """Every port that SeaweedFS opens."""
        http = (self.s3, *self.seaweed.values())
        return (*http, *(port + SEAWEED_GRPC_OFFSET for port in http), self.s3_metrics)


def is_free(port: int) -> bool:
    """True when a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port in TIME_WAIT is free, a port that somebody listens on is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True

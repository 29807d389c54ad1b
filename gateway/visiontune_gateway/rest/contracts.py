"""Which services are offered over REST, and the google.api.http rules of each of their methods."""

from collections.abc import Iterator
from dataclasses import dataclass

from google.api import annotations_pb2, http_pb2
from google.longrunning import operations_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from visiontune.dataset.v1 import dataset_pb2
from visiontune.identity.v1 import identity_pb2
from visiontune.storage.v1 import storage_pb2
from visiontune.trainer.v1 import trainer_pb2

OPERATIONS: ServiceDescriptor = operations_pb2.DESCRIPTOR.services_by_name["Operations"]


@dataclass(frozen=True, slots=True)
class Contract:
    """One service and the program that answers it."""

    service: ServiceDescriptor
    upstream: str  # name of the program, for example `dataset`
    # Resource below which the program serves google.longrunning.Operations; empty: it serves none.
    operations_parent: str = ""


# A further service is one line here.
CONTRACTS = (
    Contract(
        storage_pb2.DESCRIPTOR.services_by_name["StorageService"],
        "storage",
        operations_parent="projects/*",
    ),
    Contract(
        dataset_pb2.DESCRIPTOR.services_by_name["DatasetService"],
        "dataset",
        operations_parent="projects/*/datasets/*",
    ),
    Contract(trainer_pb2.DESCRIPTOR.services_by_name["TrainerService"], "trainer"),
    Contract(identity_pb2.DESCRIPTOR.services_by_name["IdentityService"], "identity"),
)

# Methods that nobody needs a key for: what they are sent is its own proof, which the service judges.
OPEN = frozenset({"visiontune.dataset.v1.DatasetService.GetLinkedImage"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One HTTP rule of one method."""

    method: MethodDescriptor
    upstream: str
    http: http_pb2.HttpRule


def rules(contracts: tuple[Contract, ...] = CONTRACTS) -> Iterator[Rule]:
    """Yields every rule of every method, additional bindings included, in the order of the protos."""
    for contract in contracts:
        for method in contract.service.methods:
            options = method.GetOptions()
            if not options.HasExtension(annotations_pb2.http):
                continue
            main = options.Extensions[annotations_pb2.http]
            for http in (main, *main.additional_bindings):
                yield Rule(method, contract.upstream, http)
        if contract.operations_parent:
            yield from _operation_rules(contract)


def _operation_rules(contract: Contract) -> Iterator[Rule]:
    """The mixin's own annotations say `operations/*`; a service that serves it says where, as in AIP-151."""
    parent = contract.operations_parent
    name = f"/v1/{{name={parent}/operations/*}}"
    table = {
        "ListOperations": http_pb2.HttpRule(get=f"/v1/{{name={parent}}}/operations"),
        "GetOperation": http_pb2.HttpRule(get=name),
        "DeleteOperation": http_pb2.HttpRule(delete=name),
        "CancelOperation": http_pb2.HttpRule(post=f"{name}:cancel", body="*"),
        "WaitOperation": http_pb2.HttpRule(post=f"{name}:wait", body="*"),
    }
    for method, http in table.items():
        yield Rule(OPERATIONS.methods_by_name[method], contract.upstream, http)

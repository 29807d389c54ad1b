"""What NetworkPolicies allow, by the rules of the Kubernetes API (networking.k8s.io/v1). Pure."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.kustomize import Manifest


@dataclass(frozen=True)
class Place:
    """A pod, or an address outside the cluster when there is no namespace."""

    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    ports: tuple[int, ...] = ()  # on which it listens

    @property
    def seen_labels(self) -> Mapping[str, str]:
        """Labels of the namespace; Kubernetes adds its name."""
        return {"kubernetes.io/metadata.name": self.namespace, **self.namespace_labels}


def allowed(policies: Iterable[Manifest], places: Iterable[Place]) -> set[tuple[str, str, int]]:
    """Returns (from, to, port) for each connection that both ends' policies let through."""
    policies, places = list(policies), list(places)
    return {
        (source.name, target.name, port)
        for source in places
        for target in places
        for port in target.ports
        if _passes(policies, "Egress", source, target, port)
        and _passes(policies, "Ingress", target, source, port)
    }


def _passes(policies: list[Manifest], direction: str, own: Place, other: Place, port: int) -> bool:
    """True when `own`'s policies for that direction allow it; without any, everything is allowed."""
    if not own.namespace:
        return True
    mine = [
        each["spec"]
        for each in policies
        if each["metadata"]["namespace"] == own.namespace
        and direction in each["spec"]["policyTypes"]
        and _selects(each["spec"]["podSelector"], own.labels)
    ]
    rules = [rule for spec in mine for rule in spec.get(direction.lower(), ())]
    return not mine or any(_matches(rule, direction, own, other, port) for rule in rules)


def _matches(rule: Mapping[str, Any], direction: str, own: Place, other: Place, port: int) -> bool:
    peers = rule.get("to" if direction == "Egress" else "from")
    ports = rule.get("ports")
    return (peers is None or any(_is_peer(peer, own, other) for peer in peers)) and (
        ports is None or any(each["port"] <= port <= each.get("endPort", each["port"]) for each in ports)
    )


def _is_peer(peer: Mapping[str, Any], own: Place, other: Place) -> bool:
    if block := peer.get("ipBlock"):
        return bool(other.address) and _within(block, other.address)
    if not other.namespace:
        return False
    if "namespaceSelector" in peer:
        if not _selects(peer["namespaceSelector"], other.seen_labels):
            return False
    elif other.namespace != own.namespace:
        return False
    return _selects(peer.get("podSelector", {}), other.labels)


def _within(block: Mapping[str, Any], address: str) -> bool:
    """Addresses of the other family than the block's are outside it."""
    where = ipaddress.ip_address(address)
    excepted = any(where in ipaddress.ip_network(each) for each in block.get("except", ()))
    return where in ipaddress.ip_network(block["cidr"]) and not excepted


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    expressions = selector.get("matchExpressions", ())
    assert all(each["operator"] == "In" for each in expressions), "teach this other operators first"
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )

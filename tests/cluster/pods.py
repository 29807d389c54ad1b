"""What a container's command and environment become when it runs as a process of this machine. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Resource = dict[str, Any]

# $(NAME), or $$(NAME), which stands for the text $(NAME).
_REFERENCE = re.compile(r"\$(\$?)\(([A-Za-z_][\w.-]*)\)")
_INDEXED = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace $(NAME) as Kubernetes does: an unknown name stays as it is written."""

    def value(found: re.Match[str]) -> str:
        escaped, name = found.groups()
        return f"$({name})" if escaped else variables.get(name, found.group())

    return _REFERENCE.sub(value, text)


@dataclass(frozen=True)
class Translation:
    """Names that exist only in the container or the cluster, to what stands for them on this machine."""

    folders: Mapping[str, str]  # mount path to folder
    names: Mapping[str, str]  # host, or host:port, to the same on loopback

    def __call__(self, text: str) -> str:
        for name, here in sorted(self.names.items(), key=_longest_first):
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", here, text)
        mounts = sorted(self.folders.items(), key=_longest_first)
        if not mounts:
            return text
        # In one pass, so that a folder of this machine is not taken for a path of the container.
        paths = "|".join(re.escape(mount) for mount, _ in mounts)
        return re.sub(rf"(?<![\w./-])({paths})(?![\w.-])", lambda found: self.folders[found.group(1)], text)


def _longest_first(pair: tuple[str, str]) -> int:
    return -len(pair[0])


def environment(
    container: Resource, pod: Resource, configuration: Callable[[str, str, str], str]
) -> dict[str, str]:
    """Return the variables that the container's own entries make, in their order.

    configuration: value of (kind, name, key), where kind is `configmaps` or `secrets`.
    """
    variables: dict[str, str] = {}
    for entry in container.get("env", ()):
        source = entry.get("valueFrom", {})
        if "fieldRef" in source:
            value = field_of(pod, source["fieldRef"]["fieldPath"])
        elif "configMapKeyRef" in source or "secretKeyRef" in source:
            kind = "configmaps" if "configMapKeyRef" in source else "secrets"
            reference = source.get("configMapKeyRef") or source["secretKeyRef"]
            value = configuration(kind, reference["name"], reference["key"])
        elif source:
            raise ValueError(
                f"The test kubelet knows no valueFrom {sorted(source)} (variable {entry['name']})."
            )
        else:
            value = expand(entry.get("value", ""), variables)
        variables[entry["name"]] = value
    return variables


def field_of(pod: Resource, path: str) -> str:
    """Return what a fieldRef names; a label or annotation that is absent is empty."""
    if indexed := _INDEXED.fullmatch(path):
        place, key = indexed.groups()
        return str(pod["metadata"].get(place, {}).get(key, ""))
    found: Any = pod
    for part in path.split("."):
        found = found[part]
    return str(found)


def master(pod: Resource) -> str:
    """Return how its peers call the first pod of this pod's Job; empty where it has no peers."""
    service, job = (
        pod["spec"].get("subdomain"),
        pod["metadata"].get("labels", {}).get("batch.kubernetes.io/job-name"),
    )
    return f"{job}-0.{service}" if service and job else ""


def hostnames(pod: Resource) -> list[str]:
    """Return all names of the Job's first pod, which on this machine is loopback."""
    short, namespace = master(pod), pod["metadata"]["namespace"]
    ends = ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")
    return [short + end for end in ends] if short else []

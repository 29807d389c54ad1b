"""The operator's strategic-merge patch of the pod template, for what we did not foresee."""

from collections.abc import Mapping
from typing import Any

# Lists whose elements are found again by a key, as the API server finds them. All others are replaced.
_KEYS: Mapping[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
}
_APPENDED = frozenset({"tolerations"})


def merged(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `base` with `patch` laid over it. None removes a field, `$patch: delete` an element."""
    result = dict(base)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(base.get(name), Mapping):
            result[name] = merged(base[name], value)
        elif isinstance(value, list) and name in _APPENDED:
            result[name] = [*base.get(name, []), *value]
        elif isinstance(value, list) and name in _KEYS:
            result[name] = _merged_list(base.get(name, []), value, _KEYS[name])
        else:
            result[name] = value
    return result


def _merged_list(base: list[Any], patch: list[Any], key: str) -> list[Any]:
    found = {element[key]: element for element in base}
    for element in patch:
        name = element[key]
        if element.get("$patch") == "delete":
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name, {}), element)
    return list(found.values())

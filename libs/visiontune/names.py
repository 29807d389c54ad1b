"""Short names that people type, and the full resource names that the API speaks. Pure."""


def full(name: str, parent: str, collection: str) -> str:
    """`digits` → `projects/p/datasets/digits`; a full name stays."""
    return name if name.startswith("projects/") else f"{parent}/{collection}/{name}"


def dataset(name: str) -> str:
    """`digits` of `digits/v2`; of a full name the dataset's."""
    return "/".join(name.split("/")[:4]) if name.startswith("projects/") else name.partition("/")[0]


def version(name: str, project: str) -> str:
    """`digits/v2` → `projects/p/datasets/digits/versions/v2`; a full name stays.

    Raises ValueError for a dataset without a version.
    """
    if name.startswith("projects/"):
        return name
    dataset, slash, number = name.partition("/")
    if not (dataset and slash and number) or "/" in number:
        raise ValueError(f'"{name}" is no version. Write DATASET/VERSION, for example digits/v1.')
    return f"{project}/datasets/{dataset}/versions/{number}"


def short(name: str) -> str:
    """What people call a resource: `digits`, `digits/v2`, `presets/tiny-llava`."""
    parts = name.split("/")
    if len(parts) == 6 and parts[4] == "versions":
        return f"{parts[3]}/{parts[5]}"
    return name if parts[0] == "presets" else parts[-1]

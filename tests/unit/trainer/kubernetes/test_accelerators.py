"""The operator's names, and what is refused by them."""

from pathlib import Path
from typing import Any

import pytest
from visiontune_recipes.spec import Resources, Spot
from visiontune_trainer.compute.kubernetes.accelerators import (
    Accelerator,
    Places,
    PlacesFileError,
    Pool,
    Priority,
)
from visiontune_trainer.ports import AcceleratorKind

SHIPPED = Path(__file__).parents[4] / "k8s" / "accelerators"
PLACES = Places(
    accelerators={"nvidia-l4": Accelerator(max_count=2, price_per_hour=0.7, spot_price_per_hour=0.2)},
    queues=("research",),
    priorities={"high": Priority()},
)


MAPS = sorted(path for path in SHIPPED.glob("*.yaml") if path.stem != "kustomization")


@pytest.mark.parametrize("path", MAPS, ids=lambda path: path.stem)
def test_the_maps_that_come_along_can_be_read(path: Path) -> None:
    places = Places.from_file(path)
    assert {"nvidia-t4", "nvidia-h100-80gb"} <= set(places.accelerators)
    assert all(each.node_labels and each.tolerations for each in places.accelerators.values())
    assert {each.name: each.memory_bytes for each in places.kinds()}["nvidia-h100-80gb"] == 80 * 1024**3
    # The T4 is older than bfloat16; of all others the figures are told.
    assert {each.name for each in places.kinds() if not each.has_bf16} == {"nvidia-t4"}
    assert all(each.bf16_flops or not each.has_bf16 for each in places.kinds())


def test_users_are_told_what_the_operator_said_by_name() -> None:
    places = Places(
        accelerators={"nvidia-t4": Accelerator(device_memory_gib=16), **PLACES.accelerators}, spot=Pool()
    )
    assert places.kinds() == [
        AcceleratorKind("nvidia-l4", None, 2, True, 0.7, 0.2),
        AcceleratorKind("nvidia-t4", 16 * 1024**3, 8, True, None, None),
    ]
    assert [each.has_spot for each in PLACES.kinds()] == [False]


@pytest.mark.parametrize(
    ("resources", "field", "rule", "said"),
    [
        ({"accelerator": "gtx"}, "accelerator", "unknown_accelerator", "nvidia-l4"),
        ({"accelerator_count": 1}, "accelerator", "unknown_accelerator", "nvidia-l4"),
        ({"accelerator": "nvidia-l4"}, "accelerator_count", "no_accelerator_asked", "1 or more"),
        (
            {"accelerator": "nvidia-l4", "accelerator_count": 3},
            "accelerator_count",
            "too_many_accelerators",
            "at most 2",
        ),
        ({"spot": Spot.ONLY}, "spot", "no_spot", "SPOT_NEVER"),
        ({"queue": "other"}, "queue", "unknown_queue", "research"),
        ({"priority": "low"}, "priority", "unknown_priority", "high"),
    ],
)
def test_what_the_cluster_lacks_is_refused_with_what_it_has(
    resources: dict[str, Any], field: str, rule: str, said: str
) -> None:
    (problem,) = PLACES.problems_of(Resources(**resources))
    assert (problem.field, problem.rule) == (f"resources.{field}", rule)
    assert said in problem.remedy


def test_what_the_cluster_has_is_no_problem() -> None:
    places = PLACES.model_copy(update={"spot": Pool()})
    fine = Resources(
        accelerator="nvidia-l4",
        accelerator_count=2,
        nodes=8,
        spot=Spot.ONLY,
        queue="research",
        priority="high",
    )
    assert places.problems_of(fine) == []
    assert places.problems_of(Resources()) == []


def test_an_operator_without_names_has_cpus() -> None:
    problems = Places().problems_of(Resources(accelerator="nvidia-l4", accelerator_count=1))
    assert problems[0].remedy == "Leave it empty: the operator has listed none."
    assert Places.from_file(None) == Places()


def test_spot_has_a_price_of_its_own() -> None:
    assert PLACES.price_of("nvidia-l4", is_spot=False) == 0.7
    assert PLACES.price_of("nvidia-l4", is_spot=True) == 0.2
    assert PLACES.price_of("gtx", is_spot=False) is None


@pytest.mark.parametrize("text", ["accelerators: {x: {colour: red}}", "[", "accelerators: 3"])
def test_a_file_that_is_wrong_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "accelerators.yaml"
    path.write_text(text)
    with pytest.raises(PlacesFileError, match=r"accelerators\.yaml"):
        Places.from_file(path)
    with pytest.raises(PlacesFileError, match=r"absent\.yaml"):
        Places.from_file(tmp_path / "absent.yaml")

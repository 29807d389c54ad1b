"""The operator's patch of the pod template."""

from visiontune_trainer.compute.kubernetes.merge import merged


def test_maps_are_merged_deep_and_none_removes() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merged(base, {"a": {"b": 9, "c": None}, "e": 4}) == {"a": {"b": 9}, "d": 3, "e": 4}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


def test_named_elements_are_found_again_and_new_ones_come_last() -> None:
    base = {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    patch = {"env": [{"name": "C", "value": "3"}, {"name": "A", "value": "9"}]}
    assert merged(base, patch)["env"] == [
        {"name": "A", "value": "9"},
        {"name": "B", "value": "2"},
        {"name": "C", "value": "3"},
    ]


def test_an_element_can_be_removed() -> None:
    base = {"volumes": [{"name": "shm"}, {"name": "scratch"}]}
    patch = {"volumes": [{"name": "shm", "$patch": "delete"}]}
    assert merged(base, patch) == {"volumes": [{"name": "scratch"}]}


def test_mounts_are_known_by_their_path_since_one_volume_may_be_mounted_twice() -> None:
    base = {"volumeMounts": [{"name": "v", "mountPath": "/a"}]}
    patch = {"volumeMounts": [{"name": "v", "mountPath": "/b"}]}
    assert [mount["mountPath"] for mount in merged(base, patch)["volumeMounts"]] == ["/a", "/b"]


def test_tolerations_add_up_and_other_lists_are_replaced() -> None:
    base = {"tolerations": [{"key": "a"}], "command": ["python"]}
    patch = {"tolerations": [{"key": "b"}], "command": ["sh"]}
    assert merged(base, patch) == {"tolerations": [{"key": "a"}, {"key": "b"}], "command": ["sh"]}


def test_a_list_that_was_not_there_is_added() -> None:
    assert merged({}, {"imagePullSecrets": [{"name": "s"}]}) == {"imagePullSecrets": [{"name": "s"}]}

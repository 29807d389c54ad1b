"""From the operator's settings to a backend."""

from pathlib import Path

import pytest
from visiontune_recipes.spec import Resources
from visiontune_trainer.compute.backend import BACKENDS, SettingsMissing
from visiontune_trainer.compute.kubernetes.backend import KubernetesBackend
from visiontune_trainer.settings import Settings

from tests.support.fake_kubernetes import kubeconfig


def test_the_settings_make_a_backend_that_connects_to_nothing_yet(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(kubeconfig("http://127.0.0.1:9"))
    (tmp_path / "accelerators.yaml").write_text("accelerators: {nvidia-l4: {max_count: 1}}")
    (tmp_path / "ca.crt").write_text("a certificate")
    (tmp_path / "patch.yaml").write_text("spec: {runtimeClassName: nvidia}")
    settings = Settings(
        backend="kubernetes",
        worker_target="visiontune-trainer.visiontune.svc:8705",
        tls_ca_file=tmp_path / "ca.crt",
        tls_certificate_file=tmp_path / "tls.crt",
        tls_key_file=tmp_path / "tls.key",
        kubernetes_worker_image="worker:1",
        kubernetes_kubeconfig=str(tmp_path / "kubeconfig"),
        kubernetes_accelerators_file=tmp_path / "accelerators.yaml",
        kubernetes_pod_patch_file=tmp_path / "patch.yaml",
    )
    backend = BACKENDS[settings.backend](settings)
    assert isinstance(backend, KubernetesBackend)
    assert backend.slots is None
    assert backend.problems_of(Resources(accelerator="nvidia-l4", accelerator_count=1)) == []
    assert backend._choices.patch == {"spec": {"runtimeClassName": "nvidia"}}
    told = backend._choices.environment
    assert told["VISIONTUNE_WORKER_TRAINER_TARGET"] == "visiontune-trainer.visiontune.svc:8705"
    assert not [name for name in told if "_TLS_" in name], "paths of the trainer's own disk"
    assert backend._choices.ca == "a certificate"


def test_workers_speak_plain_text_to_a_trainer_without_a_certificate(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(kubeconfig("http://127.0.0.1:9"))
    settings = Settings(
        backend="kubernetes",
        worker_target="t:1",
        tls_ca_file=tmp_path / "ca.crt",  # of the services that it calls
        kubernetes_worker_image="worker:1",
        kubernetes_kubeconfig=str(tmp_path / "kubeconfig"),
    )
    backend = BACKENDS[settings.backend](settings)
    assert isinstance(backend, KubernetesBackend)
    assert backend._choices.ca == ""


@pytest.mark.parametrize("given", [{}, {"kubernetes_worker_image": "w"}, {"worker_target": "t:1"}])
def test_what_is_missing_is_named(given: dict[str, str]) -> None:
    with pytest.raises(SettingsMissing, match="VISIONTUNE_TRAINER_KUBERNETES_WORKER_IMAGE"):
        BACKENDS["kubernetes"](Settings(**given))  # type: ignore[arg-type]  # text for text

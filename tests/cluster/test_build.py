"""Where the control plane's programs come from. Go is a script here: these tests run with all others."""

import os
from pathlib import Path

import pytest

from tests.cluster import build, crds

BUILDS = """#!/bin/sh
while [ "$1" != "-o" ]; do shift; done
echo "$*" > "$2"
"""


@pytest.fixture(autouse=True)
def no_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crds, "SOURCES", ())


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `go` that builds a text, and an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "go").write_text(BUILDS)
    (folder / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.defpath}")
    monkeypatch.setenv("VISIONTUNE_CLUSTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return folder / "go"


def test_all_programs_are_built_once(go: Path) -> None:
    assert build.missing() == [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubectl",
    ]
    built = build.build(limit_s=30)
    assert set(built) == set(build.PROGRAMS)
    assert "go.etcd.io/etcd/server/v3" in built["etcd"].read_text()
    assert "gitVersion=v1." in built["kubectl"].read_text()
    go.write_text("#!/bin/sh\nexit 1\n")
    assert build.build(limit_s=30) == built


def test_programs_of_kubebuilder_come_first(
    go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/etcd").touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    assert "etcd" not in build.missing()
    assert build.build(limit_s=30)["etcd"] == tmp_path / "assets/etcd"


def test_without_go_a_person_learns_what_to_install(go: Path) -> None:
    go.unlink()
    with pytest.raises(build.NotNowError, match=r"Install Go"):
        build.build(limit_s=30)


def test_a_build_that_takes_too_long_ends(go: Path) -> None:
    go.write_text("#!/bin/sh\nsleep 60\n")
    with pytest.raises(build.NotNowError, match="etcd was not built in time"):
        build.build(limit_s=0.2)


def test_what_does_not_compile_is_an_error_and_what_did_is_kept(go: Path) -> None:
    go.write_text(BUILDS + 'case "$*" in *scheduler*) exit 2;; esac\n')
    with pytest.raises(build.BuildError, match="ended with 2") as raised:
        build.build(limit_s=30)
    assert not isinstance(raised.value, build.NotNowError)
    assert build.missing() == ["kube-scheduler", "kubectl"]


def test_a_second_build_waits_for_the_first(go: Path) -> None:
    build.cache().mkdir(parents=True)
    with (build.cache() / "lock").open("w") as lock:
        build._wait_for(lock.fileno(), deadline=0)
        with pytest.raises(build.NotNowError, match="still running"):
            build.build(limit_s=0)


def test_a_pin_without_a_version_is_an_error() -> None:
    with pytest.raises(build.BuildError, match="requires no version"):
        build.linker_flags("module x\n")


ANSWER = """#!/bin/sh
echo '{"Dir": "DIR", "Sum": "h1:right"}'
"""


def source(sum_: str) -> crds.Source:
    return crds.Source("example.org/module", "v1.0.0", sum_, ("crds/kind.yaml",))


def test_definitions_are_taken_from_a_module_of_the_pinned_content_once(
    go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module/crds").mkdir(parents=True)
    (tmp_path / "module/crds/kind.yaml").write_text("kind: CustomResourceDefinition")
    go.write_text(ANSWER.replace("DIR", str(tmp_path / "module")))
    monkeypatch.setattr(crds, "SOURCES", (source("h1:wrong"),))
    with pytest.raises(crds.FetchError, match="not the one that is pinned"):
        crds.fetch(tmp_path, limit_s=30)
    monkeypatch.setattr(crds, "SOURCES", (source("h1:right"),))
    filled = crds.fetch(tmp_path, limit_s=30)
    assert [path.name for path in filled.iterdir()] == ["kind.yaml"]
    go.unlink()
    assert crds.fetch(tmp_path, limit_s=30) == filled


def test_a_module_that_cannot_be_had_is_named(
    go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crds, "SOURCES", (source("h1:right"),))
    go.write_text('#!/bin/sh\necho \'{"Error": "no such host"}\'\nexit 1\n')
    with pytest.raises(crds.FetchError, match="was not fetched: no such host"):
        crds.fetch(tmp_path, limit_s=30)


def test_the_control_plane_is_there_also_where_definitions_cannot_be_had(
    go: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(crds, "SOURCES", (source("h1:right"),))
    go.write_text("""#!/bin/sh\n[ "$1" = mod ] && exit 1\n""" + BUILDS.removeprefix("#!/bin/sh\n"))
    assert set(build.build(limit_s=30)) == set(build.PROGRAMS)
    assert "Manifests will not be checked" in capsys.readouterr().out

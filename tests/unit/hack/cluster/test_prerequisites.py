from dataclasses import replace

import pytest
from hack.cluster import prerequisites
from hack.cluster.errors import ClusterError
from hack.cluster.prerequisites import Machine, require_supported, version_of

DEBIAN = Machine("Linux", "x86_64", "debian", is_root=True)
MISSING = {"openssl": "openssl", "no-such-package": "/no/such/file"}


@pytest.mark.parametrize(
    ("machine", "says"),
    [
        pytest.param(replace(DEBIAN, system="Darwin"), "needs Linux", id="another system"),
        pytest.param(replace(DEBIAN, architecture="riscv64"), "riscv64", id="another architecture"),
        pytest.param(replace(DEBIAN, distribution="fedora"), "Debian or Ubuntu", id="no apt"),
        pytest.param(replace(DEBIAN, is_root=False), "needs root", id="not root"),
    ],
)
def test_refuses_a_machine_that_cannot_run_pods(machine: Machine, says: str) -> None:
    with pytest.raises(ClusterError, match=says) as raised:
        require_supported(machine, node=True)
    assert raised.value.mend


@pytest.mark.parametrize("machine", [DEBIAN, replace(DEBIAN, distribution="ubuntu debian")])
def test_accepts_debian_and_what_is_like_it(machine: Machine) -> None:
    require_supported(machine, node=True)


def test_a_control_plane_needs_neither_root_nor_debian() -> None:
    require_supported(replace(DEBIAN, is_root=False, distribution="fedora"), node=False)


def test_no_install_names_the_packages_and_the_command() -> None:
    with pytest.raises(ClusterError, match="--no-install") as raised:
        prerequisites.ensure_packages(MISSING, install=False, is_root=True)
    assert raised.value.mend.endswith("no-such-package")


def test_does_not_install_without_root() -> None:
    with pytest.raises(ClusterError, match="needs root"):
        prerequisites.ensure_packages(MISSING, install=True, is_root=False)


def test_a_missing_go_is_reported_with_the_version_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ClusterError, match=r"go is not in PATH") as raised:
        prerequisites.require_go()
    assert "go.dev" in raised.value.mend


def test_versions_compare_by_number() -> None:
    assert version_of("go1.26.8") > version_of("1.26.0") > version_of("go1.9.7")

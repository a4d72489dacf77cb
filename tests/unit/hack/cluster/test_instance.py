import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hack.cluster import lifecycle
from hack.cluster.errors import ClusterError
from hack.cluster.instance import Instance, Ports, cache_directory, recorded
from hack.cluster.processes import Process


def plan(name: str, cache: Path, *, has_node: bool = False, offset: int | None = None) -> Instance:
    return lifecycle.plan(name, cache, has_node=has_node, offset=offset, environment={})


def started(cache: Path) -> None:
    instance = Instance("test", cache, Ports(apiserver=7777), has_node=False)
    instance.save()
    dead = Process("etcd", 1, start_ticks=None, boot="", command=())
    (instance.state / "run").mkdir()
    (instance.state / "run/etcd.json").write_text(json.dumps(asdict(dead)))


def test_ports_move_together_and_one_by_one() -> None:
    chosen = Ports.chosen({"TIDEGATE_APISERVER_PORT": "7443"}, offset=100)
    assert (chosen.apiserver, chosen.etcd, chosen.etcd_peer) == (7443, 2479, 2480)


@pytest.mark.parametrize("text", ["abc", "0", "70000", ""])
def test_a_port_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(ClusterError, match="TIDEGATE_ETCD_PORT"):
        Ports.chosen({"TIDEGATE_ETCD_PORT": text}, offset=0)


def test_a_cluster_is_found_again_as_it_was_started(tmp_path: Path) -> None:
    started = Instance("test", tmp_path, Ports(apiserver=7777), has_node=False)
    started.save()
    assert recorded("test", tmp_path) == started
    assert recorded("other", tmp_path) is None


@pytest.mark.parametrize("offset", [60_000, -7_000])
def test_an_offset_that_leaves_no_port_is_refused(tmp_path: Path, offset: int) -> None:
    with pytest.raises(ClusterError, match="--port-offset"):
        plan("test", tmp_path, offset=offset)


def test_the_default_cluster_keeps_the_default_ports(tmp_path: Path) -> None:
    assert plan("default", tmp_path, has_node=True).ports == Ports()


def test_a_named_cluster_moves_aside(tmp_path: Path) -> None:
    assert plan("test", tmp_path).ports.apiserver > Ports().apiserver


def test_a_started_cluster_keeps_its_ports_unless_told_otherwise(tmp_path: Path) -> None:
    started(tmp_path)
    assert plan("test", tmp_path).ports.apiserver == 7777
    assert plan("test", tmp_path, offset=10).ports.apiserver == 6453


def test_the_way_out_of_a_taken_port_works_for_a_cluster_that_has_begun(tmp_path: Path) -> None:
    started(tmp_path)
    chosen = {"TIDEGATE_KUBELET_PORT": "10350"}
    found = lifecycle.plan("test", tmp_path, has_node=False, offset=None, environment=chosen)
    assert found.ports == Ports(apiserver=7777, kubelet=10350)


def test_folders_are_named_as_the_kernel_names_them(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    found = cache_directory({"TIDEGATE_CACHE": str(tmp_path / "link")})
    assert found == (tmp_path / "disk").resolve()


def test_a_cluster_that_never_started_chooses_its_ports_again(tmp_path: Path) -> None:
    Instance("test", tmp_path, Ports(apiserver=7777), has_node=False).save()
    assert plan("test", tmp_path).ports.apiserver != 7777


def test_a_cluster_without_a_node_does_not_get_one_by_the_way(tmp_path: Path) -> None:
    started(tmp_path)
    (tmp_path / "cluster-test").rename(tmp_path / "cluster")
    with pytest.raises(ClusterError, match="without a node") as raised:
        plan("default", tmp_path, has_node=True)
    assert "down" in raised.value.mend


def test_only_the_default_cluster_has_a_node(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="one node") as raised:
        plan("second", tmp_path, has_node=True)
    assert "--control-plane-only" in raised.value.mend


def test_a_control_plane_listens_on_loopback_only(tmp_path: Path) -> None:
    assert plan("test", tmp_path).url.startswith("https://127.0.0.1:")

import os
import socket

import pytest
from hack.cluster import ports
from hack.cluster.errors import ClusterError

TABLE = """\
sl local rem st tx:rx tr:when retrnsmt uid timeout inode
 0: 0100007F:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1
 1: 00000000:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4712 1
 2: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000 0 0 4713 1
"""


@pytest.mark.parametrize(
    ("address", "port", "inode"),
    [
        pytest.param("127.0.0.1", 6443, "4711", id="the same address"),
        pytest.param("10.244.0.1", 6443, None, id="another address"),
        pytest.param("10.244.0.1", 53, "4712", id="a listener on all addresses"),
        pytest.param("127.0.0.1", 8080, None, id="a connection is not a listener"),
    ],
)
def test_finds_the_socket_that_is_in_the_way(address: str, port: int, inode: str | None) -> None:
    assert ports.listening_inode(TABLE, address, port) == inode


def test_reads_addresses_of_the_ipv6_table() -> None:
    line = "   0: 0000000000000000FFFF00000100007F:192B 0:0000 0A 0:0 0:0 0     0        0 99 1"
    assert ports.listening_inode(f"head\n{line}\n", "127.0.0.1", 6443) == "99"


def test_names_the_process_that_holds_a_port_and_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ClusterError) as raised:
            ports.require_free("etcd", "127.0.0.1", port, "TIDEGATE_ETCD_PORT")
    assert f"pid {os.getpid()}" in raised.value.message
    assert f"TIDEGATE_ETCD_PORT={port + 100}" in raised.value.mend
    ports.require_free("etcd", "127.0.0.1", port, "TIDEGATE_ETCD_PORT")


def test_offers_no_other_port_for_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "conflict", lambda _address, _port: "pid 1 (dnsmasq)")
    with pytest.raises(ClusterError) as raised:
        ports.require_free("coredns", "10.244.0.1", 53, "TIDEGATE_COREDNS_PORT")
    assert raised.value.mend == "end that process"

import socket
from pathlib import Path

from hack.cluster.containers import is_deserted


def test_only_a_socket_without_a_listener_is_taken_away(tmp_path: Path) -> None:
    address = tmp_path / "shim"
    with socket.socket(socket.AF_UNIX) as shim:
        shim.bind(str(address))
        shim.listen()
        assert not is_deserted(address)
    assert is_deserted(address)
    assert not is_deserted(tmp_path / "nothing")

"""Which process holds a port: read from /proc, so that no extra tool is needed."""

import contextlib
import ipaddress
import sys
from pathlib import Path

from hack.cluster.errors import ClusterError
from hack.cluster.instance import Ports

LISTEN = "0A"


def _address(text: str) -> str:
    """The kernel prints addresses as little-endian words of 32 bits."""
    raw = bytes.fromhex(text)
    words = [raw[i : i + 4] for i in range(0, len(raw), 4)]
    if sys.byteorder == "little":
        words = [word[::-1] for word in words]
    address = ipaddress.ip_address(b"".join(words))
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def listening_inode(table: str, address: str, port: int) -> str | None:
    """The socket in a /proc/net/tcp table that keeps `address:port` from being bound."""
    for line in table.splitlines()[1:]:
        columns = line.split()
        where, _, number = columns[1].rpartition(":")
        if columns[3] != LISTEN or int(number, 16) != port:
            continue
        if _address(where) in {address, "0.0.0.0", "::"}:
            return columns[9]
    return None


def _holder(inode: str) -> tuple[int, str] | None:
    """The pid and command that has the socket open; None if it belongs to another user."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(fd.readlink()) == f"socket:[{inode}]" for fd in (process / "fd").iterdir()):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                return int(process.name), command.strip()
    return None


def conflict(address: str, port: int) -> str | None:
    """Say who listens on the port already, or None if it is free."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError):
            inode = listening_inode(Path(table).read_text(), address, port)
            if inode is None:
                continue
            holder = _holder(inode)
            return f"pid {holder[0]} ({holder[1][:80]})" if holder else "a process of another user"
    return None


def require_free(what: str, address: str, port: int, variable: str) -> None:
    """Fail with the holder's pid and the way out if the port is taken."""
    holder = conflict(address, port)
    if holder:
        another = f", or use another port: {variable}={port + 100} (or --port-offset 100)"
        raise ClusterError(
            f"{what} needs port {port} on {address}, which is taken by {holder}",
            f"end that process{another if port != Ports.coredns else ''}",
        )

"""What the kernel keeps of connections that nobody reads."""

from pathlib import Path


def _largest(buffer: str) -> int:
    return int(Path(f"/proc/sys/net/ipv4/{buffer}").read_text().split()[2])


HELD_BYTES = 2 * (_largest("tcp_rmem") + _largest("tcp_wmem"))
"""At most, on the way through a proxy: buffers grow by themselves up to these limits."""

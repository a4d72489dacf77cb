"""The node's network: an address of its own, masquerading for pods, and the way back."""

import contextlib
import json
import socket
from pathlib import Path

from hack.cluster.errors import ClusterError
from hack.cluster.instance import NODE_ADDRESS, POD_SUBNET, SERVICE_SUBNET, Instance
from hack.cluster.shell import run, succeeds

LINK = "tidegate0"
TABLE = "tidegate"
KUBE_PROXY_TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"))
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
# Every pod hangs on a link of its own and all its traffic is routed by the host, so that address
# translation sees both directions. A bridge would need the br_netfilter module for that.
POD_NETWORK = {
    "cniVersion": "1.0.0",
    "name": "tidegate",
    "plugins": [
        {
            "type": "ptp",
            "ipMasq": False,  # one rule of our own does it: see NFT_RULES
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": POD_SUBNET, "gateway": NODE_ADDRESS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
    ],
}
NFT_RULES = f"""
table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {POD_SUBNET} ip daddr != {{ {POD_SUBNET}, {SERVICE_SUBNET} }} masquerade
  }}
}}
"""


def ensure(instance: Instance) -> None:
    """Bring up the node's address, forwarding and masquerading; doing it twice changes nothing."""
    if not link_exists():
        route = run(["ip", "-4", "route", "show", "root", "10.244.0.0/16"]).strip()
        if route:
            raise ClusterError(
                f"the pods' addresses {POD_SUBNET} are used by another network: {route}",
                "stop that network (another local cluster?)",
            )
        run(["ip", "link", "add", LINK, "type", "bridge"])
    run(["ip", "address", "replace", f"{NODE_ADDRESS}/32", "dev", LINK])
    run(["ip", "link", "set", LINK, "up"])
    run(["nft", "-f", "-"], text=NFT_RULES)
    _remember_forwarding(instance)
    IP_FORWARD.write_text("1")
    _allow_forwarding()
    config = instance.state / "cni"
    config.mkdir(parents=True, exist_ok=True)
    network = json.loads(json.dumps(POD_NETWORK))
    network["plugins"][0]["ipam"]["dataDir"] = f"{instance.state}/cni-addresses"
    (config / "10-tidegate.conflist").write_text(json.dumps(network, indent=1))


def link_exists() -> bool:
    """Say whether the node's own interface is there."""
    return LINK in {name for _, name in socket.if_nameindex()}


def _remember_forwarding(instance: Instance) -> None:
    before = instance.state / "ip_forward.before"
    if not before.exists():
        before.write_text(IP_FORWARD.read_text())


def _forward_rules() -> list[list[str]]:
    return [["FORWARD", "-s", POD_SUBNET, "-j", "ACCEPT"],
            ["FORWARD", "-d", POD_SUBNET, "-j", "ACCEPT"]]  # fmt: skip


def _allow_forwarding() -> None:
    """Docker and ufw drop forwarded packets by default: let the pods' packets pass there."""
    if "-P FORWARD DROP" not in run(["iptables", "-S", "FORWARD"]):
        return
    for rule in _forward_rules():
        if not succeeds("iptables", "-C", *rule):
            run(["iptables", "-I", *rule])


def remove(instance: Instance) -> None:
    """Take away every link, rule and file that `ensure`, kube-proxy and the pods left."""
    if POD_SUBNET in run(["iptables", "-S", "FORWARD"]):
        for rule in _forward_rules():
            succeeds("iptables", "-D", *rule)
    for family, table in (("ip", TABLE), *KUBE_PROXY_TABLES):
        succeeds("nft", "delete", "table", family, table)
    if link_exists():
        run(["ip", "link", "delete", LINK])
    with contextlib.suppress(FileNotFoundError):
        IP_FORWARD.write_text((instance.state / "ip_forward.before").read_text())

"""The node: containerd, kubelet, kube-proxy and DNS as processes of this machine."""

import json
from datetime import datetime
from pathlib import Path

from hack.cluster import components, containers
from hack.cluster.console import progress
from hack.cluster.control_plane import api, unanswered
from hack.cluster.instance import (
    DNS_SERVICE_ADDRESS,
    NODE_ADDRESS,
    NODE_NAME,
    Instance,
)
from hack.cluster.kubectl import is_ready, of_instance
from hack.cluster.processes import Supervisor

START_SECONDS = 240.0  # on a busy machine; what ends is noticed at once
# Of containerd while it finds its old pods, when its socket answers already; the kubelet gives up.
NOT_RECOVERED = "server is not initialized yet"
ADDONS = Path(__file__).parent / "addons.yaml"


def start(instance: Instance, binaries: Path, supervisor: Supervisor) -> None:
    """Start what the pods need, and wait until the node is Ready and DNS answers."""
    loopback = "127.0.0.1"

    def ensure(name: str, command: list[str], listens: dict[str, str]) -> None:
        components.ensure(instance, supervisor, name, command, listens)

    def start_kubelet() -> None:
        listens = {"kubelet": NODE_ADDRESS, "kubelet_health": loopback}
        ensure("kubelet", _kubelet(instance, binaries), listens)

    start_kubelet()
    proxy = {"kube_proxy_health": loopback, "kube_proxy_metrics": loopback}
    ensure("kube-proxy", _kube_proxy(instance, binaries), proxy)
    with progress("service kube-dns"):
        of_instance(instance)("apply", "--server-side", "-f", str(ADDONS))
    dns = {"coredns": NODE_ADDRESS, "coredns_ready": loopback}
    ensure("coredns", _coredns(instance, binaries), dns)

    supervisor.wait_for(  # first: kube-proxy is not healthy before the node is registered
        "kubelet",
        lambda: node_not_ready(instance, supervisor.started("kubelet")),
        START_SECONDS,
        restart=start_kubelet,
        excuse=NOT_RECOVERED,
    )
    health = f"http://127.0.0.1:{instance.ports.kube_proxy_health}/healthz"
    supervisor.wait_for("kube-proxy", lambda: unanswered(health), START_SECONDS)
    ready = f"http://127.0.0.1:{instance.ports.coredns_ready}/ready"
    supervisor.wait_for("coredns", lambda: unanswered(ready), START_SECONDS)


def node_not_ready(instance: Instance, since: datetime) -> str:
    """Empty if the kubelet said after `since` that the node is Ready, else its reason."""
    if lacks := api(instance, f"/api/v1/nodes/{NODE_NAME}"):
        return f"the node is not registered yet: {lacks}"
    node = json.loads(of_instance(instance)("get", "node", NODE_NAME, "-o", "json"))
    for condition in node["status"].get("conditions", []):
        if condition["type"] != "Ready":
            continue
        if datetime.fromisoformat(condition["lastHeartbeatTime"]) < since:
            return "what the API server knows of the node is from before the kubelet's start"
        return "" if is_ready(node) else str(condition["message"])
    return "the node has no Ready condition yet"


def _kubelet(instance: Instance, binaries: Path) -> list[str]:
    text = json.dumps(_kubelet_configuration(instance), indent=1)
    config = components.configuration(instance, "kubelet.json", text)
    return [
        f"{binaries}/kubelet", f"--config={config}",
        f"--kubeconfig={instance.kubeconfig_of('kubelet')}", f"--hostname-override={NODE_NAME}",
        f"--root-dir={instance.state}/kubelet", f"--node-ip={NODE_ADDRESS}",
        f"--cert-dir={instance.pki}",
    ]  # fmt: skip


def _kubelet_configuration(instance: Instance) -> dict[str, object]:
    pki = instance.pki
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "port": instance.ports.kubelet,
        "healthzPort": instance.ports.kubelet_health,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/kubelet.crt",
        "tlsPrivateKeyFile": f"{pki}/kubelet.key",
        "containerRuntimeEndpoint": f"unix://{containers.SOCKET}",
        "podLogsDir": f"{instance.logs}/pods",
        "clusterDNS": [DNS_SERVICE_ADDRESS],
        "clusterDomain": "cluster.local",
        # Hosts with cgroup v1, and containers without systemd, have no tree of slices to use.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,  # lowering it needs CAP_SYS_RESOURCE
        "makeIPTablesUtilChains": False,  # leaves no rules behind; kube-proxy uses nftables
        "maxPods": 200,
        # A laptop's disk is often nearly full: evict late and never delete a loaded image.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "100Mi",
        },
        # An image that was pulled once by another name is still a loaded one: no registry is asked.
        "imagePullCredentialsVerificationPolicy": "NeverVerify",
        # Pods start fast and see changed ConfigMaps soon.
        "serializeImagePulls": False,
        "syncFrequency": "10s",
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 0,
    }  # fmt: skip


def _kube_proxy(instance: Instance, binaries: Path) -> list[str]:
    return [
        f"{binaries}/kube-proxy", f"--kubeconfig={instance.kubeconfig_of('kube-proxy')}",
        "--proxy-mode=nftables", "--cluster-cidr=10.244.0.0/24",
        f"--hostname-override={NODE_NAME}", "--nodeport-addresses=127.0.0.1/32",
        f"--healthz-bind-address=127.0.0.1:{instance.ports.kube_proxy_health}",
        f"--metrics-bind-address=127.0.0.1:{instance.ports.kube_proxy_metrics}",
        "--conntrack-max-per-core=0",  # leave the host's own limits alone
        "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
    ]  # fmt: skip


def _coredns(instance: Instance, binaries: Path) -> list[str]:
    resolv = Path("/etc/resolv.conf")
    upstream = resolv.exists() and "nameserver" in resolv.read_text()
    corefile = components.configuration(
        instance,
        "coredns.conf",
        f""".:53 {{
    bind {NODE_ADDRESS}
    errors
    ready 127.0.0.1:{instance.ports.coredns_ready}
    cache 5
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {instance.kubeconfig_of("coredns")}
        ttl 5
        fallthrough in-addr.arpa ip6.arpa
    }}
{"    forward . /etc/resolv.conf" if upstream else ""}
}}
""",
    )
    return [f"{binaries}/coredns", "-conf", str(corefile)]

"""etcd, kube-apiserver, controller-manager and, with a node, the scheduler."""

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path

from hack.cluster import components
from hack.cluster.instance import SERVICE_SUBNET, Instance
from hack.cluster.processes import Supervisor

START_SECONDS = 240.0  # on a busy machine; what ends is noticed at once
PROBE_SECONDS = 10.0
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],  # so that a request is one line, a watch two
    "rules": [{"level": "Metadata"}],
}


def start(instance: Instance, binaries: Path, supervisor: Supervisor) -> None:
    """Start what does not run yet, each after the one it needs has answered."""
    loopback = "127.0.0.1"

    def ensure(name: str, command: list[str], listens: dict[str, str]) -> None:
        components.ensure(instance, supervisor, name, command, listens)

    ensure("etcd", _etcd(instance, binaries), {"etcd": loopback, "etcd_peer": loopback})
    health = f"http://127.0.0.1:{instance.ports.etcd}/health"
    supervisor.wait_for("etcd", lambda: unanswered(health), START_SECONDS)

    (instance.state / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))
    ensure("kube-apiserver", _apiserver(instance, binaries), {"apiserver": instance.address})
    supervisor.wait_for("kube-apiserver", lambda: api(instance, "/readyz"), START_SECONDS)

    manager = _controller_manager(instance, binaries)
    ensure("kube-controller-manager", manager, {"controller_manager": loopback})
    if instance.has_node:
        ensure("kube-scheduler", _scheduler(instance, binaries), {"scheduler": loopback})
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    supervisor.wait_for("kube-controller-manager", lambda: api(instance, account), START_SECONDS)


def unanswered(url: str, context: ssl.SSLContext | None = None) -> str:
    """Empty if the URL answers 200, else what it does instead."""
    direct = urllib.request.ProxyHandler({})
    opener = urllib.request.build_opener(direct, urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=PROBE_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code}"
    except OSError as error:
        return f"{url}: {getattr(error, 'reason', error)}"


def api(instance: Instance, path: str) -> str:
    """Empty if the API server answers the administrator's GET with 200."""
    context = ssl.create_default_context(cafile=instance.pki / "ca.crt")
    context.load_cert_chain(instance.pki / "admin.crt", instance.pki / "admin.key")
    return unanswered(instance.url + path, context)


def _etcd(instance: Instance, binaries: Path) -> list[str]:
    client = f"http://127.0.0.1:{instance.ports.etcd}"
    peer = f"http://127.0.0.1:{instance.ports.etcd_peer}"
    return [
        f"{binaries}/etcd", f"--data-dir={instance.state}/etcd",
        "--unsafe-no-fsync",  # a development cluster: speed before surviving a power cut
        f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}", "--log-level=warn",
    ]  # fmt: skip


def _apiserver(instance: Instance, binaries: Path) -> list[str]:
    pki = instance.pki
    # A loopback address is refused as the endpoint of Service `kubernetes`: without pods nobody
    # needs that endpoint, so nobody writes it.
    reconciler = "lease" if instance.has_node else "none"
    return [
        f"{binaries}/kube-apiserver", f"--etcd-servers=http://127.0.0.1:{instance.ports.etcd}",
        f"--bind-address={instance.address}", f"--secure-port={instance.ports.apiserver}",
        f"--advertise-address={instance.address}", f"--endpoint-reconciler-type={reconciler}",
        f"--service-cluster-ip-range={SERVICE_SUBNET}",
        f"--tls-cert-file={pki}/apiserver.crt", f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt", f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/admin.crt", f"--kubelet-client-key={pki}/admin.key",
        "--kubelet-preferred-address-types=InternalIP",  # the node's name is in no DNS
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/service-accounts.key",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true", "--profiling=false",
        f"--audit-policy-file={instance.state}/audit-policy.json",
        f"--audit-log-path={instance.audit_log}", "--audit-log-maxsize=200",
        "--audit-log-maxbackup=2",
    ]  # fmt: skip


def _controller_manager(instance: Instance, binaries: Path) -> list[str]:
    pki = instance.pki
    return [
        f"{binaries}/kube-controller-manager",
        f"--kubeconfig={instance.kubeconfig_of('controller-manager')}",
        "--bind-address=127.0.0.1", f"--secure-port={instance.ports.controller_manager}",
        f"--cert-dir={pki}", "--leader-elect=false", "--use-service-account-credentials=true",
        f"--service-account-private-key-file={pki}/service-accounts.key",
        f"--root-ca-file={pki}/ca.crt", f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key", "--profiling=false",
    ]  # fmt: skip


def _scheduler(instance: Instance, binaries: Path) -> list[str]:
    return [
        f"{binaries}/kube-scheduler", f"--kubeconfig={instance.kubeconfig_of('scheduler')}",
        "--bind-address=127.0.0.1", f"--secure-port={instance.ports.scheduler}",
        f"--cert-dir={instance.pki}", "--leader-elect=false", "--profiling=false",
    ]  # fmt: skip

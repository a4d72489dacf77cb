"""A certificate authority for one cluster, and the kubeconfigs that use it."""

import base64
import json
import subprocess
from pathlib import Path

from hack.cluster.console import progress
from hack.cluster.instance import NODE_ADDRESS, NODE_NAME, Instance

YEARS_10 = "3650"
P256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
USERS = {
    "admin": "/O=system:masters/CN=admin",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "kubelet": f"/O=system:nodes/CN=system:node:{NODE_NAME}",
    "kube-proxy": "/CN=system:kube-proxy",
    "coredns": "/CN=tidegate:coredns",
}
SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
API_SERVER_SAN = ",".join(
    [f"DNS:{name}" for name in SERVICE_NAMES]
    + [f"IP:{ip}" for ip in ("127.0.0.1", "10.96.0.1", NODE_ADDRESS)]
)


def _openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


def _certificate(directory: Path, name: str, subject: str, san: str) -> None:
    (directory / f"{name}.ext").write_text(
        f"subjectAltName={san}\nextendedKeyUsage=serverAuth,clientAuth\n"
    )
    _openssl(directory, "req", *P256, "-subj", subject, "-keyout", f"{name}.key",
             "-out", f"{name}.csr")  # fmt: skip
    _openssl(directory, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
             "-CAcreateserial", "-days", YEARS_10, "-extfile", f"{name}.ext",
             "-out", f"{name}.crt")  # fmt: skip


def _kubeconfig(instance: Instance, user: str) -> str:
    def encoded(name: str) -> str:
        return base64.b64encode((instance.pki / name).read_bytes()).decode()

    cluster = {"server": instance.url, "certificate-authority-data": encoded("ca.crt")}
    identity = {
        "client-certificate-data": encoded(f"{user}.crt"),
        "client-key-data": encoded(f"{user}.key"),
    }
    name = f"tidegate-{instance.name}"
    return json.dumps(  # JSON is YAML too
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": user, "user": identity}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
            "current-context": name,
        },
        indent=1,
    )


def ensure_pki(instance: Instance) -> None:
    """Make the keys once; write the kubeconfigs each time, for the port may have changed."""
    done = instance.pki / "done"
    if not done.exists():
        instance.pki.mkdir(mode=0o700, parents=True, exist_ok=True)
        with progress("certificates"):
            _openssl(instance.pki, "req", "-x509", *P256, "-days", YEARS_10,
                     "-subj", f"/CN=tidegate-{instance.name}", "-keyout", "ca.key",
                     "-out", "ca.crt")  # fmt: skip
            _openssl(instance.pki, "ecparam", "-name", "prime256v1", "-genkey", "-noout",
                     "-out", "service-accounts.key")  # fmt: skip
            _certificate(instance.pki, "apiserver", "/CN=kube-apiserver", API_SERVER_SAN)
            for user, subject in USERS.items():
                san = f"DNS:{NODE_NAME},IP:{NODE_ADDRESS}" if user == "kubelet" else f"DNS:{user}"
                _certificate(instance.pki, user, subject, san)
        done.touch()
    for user in USERS:
        path = instance.kubeconfig if user == "admin" else instance.kubeconfig_of(user)
        text = _kubeconfig(instance, user)
        if not path.exists() or path.read_text() != text:
            path.touch(mode=0o600)
            path.write_text(text)

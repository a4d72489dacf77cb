from pathlib import Path

import pytest

from tidegate.errors import TerminalError
from tidegate.settings import Settings

SMALLEST = {
    "TIDEGATE_NAMESPACE": "tidegate",
    "TIDEGATE_POD_NAME": "operator-1",
    "TIDEGATE_SIDECAR_IMAGE": "sidecar:1",
    "TIDEGATE_RUNTIME_IMAGE": "runtime:1",
    "TIDEGATE_SIGNING_KEY": "/keys/signing.pem",
}


def test_the_smallest_environment_is_enough() -> None:
    settings = Settings.from_environment(SMALLEST)
    assert settings.signing_key == Path("/keys/signing.pem")
    assert settings.watch_namespaces == ()
    assert settings.kubeconfig is None
    assert settings.http_port == 8085
    assert settings.prometheus_url == ""
    assert settings.prometheus_token_file is None


def test_takes_what_is_set() -> None:
    settings = Settings.from_environment(
        SMALLEST
        | {
            "TIDEGATE_WATCH_NAMESPACES": "growth, ads,,growth",
            "TIDEGATE_WORKERS": "3",
            "TIDEGATE_LOG_LEVEL": "debug",
            "KUBECONFIG": "/home/me/.kube/config",
            "TIDEGATE_PROMETHEUS_URL": "https://prometheus.monitoring:9090",
            "TIDEGATE_PROMETHEUS_TOKEN_FILE": "/etc/tidegate/prometheus/token",
            "TIDEGATE_PROMETHEUS_CA_FILE": "/etc/tidegate/prometheus/ca.crt",
        }
    )
    assert settings.watch_namespaces == ("ads", "growth")
    assert settings.workers == 3
    assert settings.log_level == "DEBUG"
    assert settings.kubeconfig == Path("/home/me/.kube/config")
    assert settings.prometheus_url == "https://prometheus.monitoring:9090"
    assert settings.prometheus_token_file == Path("/etc/tidegate/prometheus/token")
    assert settings.prometheus_ca_file == Path("/etc/tidegate/prometheus/ca.crt")


def test_names_an_address_that_is_none() -> None:
    with pytest.raises(TerminalError, match="TIDEGATE_PROMETHEUS_URL must begin with http"):
        Settings.from_environment(SMALLEST | {"TIDEGATE_PROMETHEUS_URL": "prometheus:9090"})


def test_the_decision_log_goes_to_a_bucket() -> None:
    assert Settings.from_environment(SMALLEST).decisions_uri == ""
    variable = "TIDEGATE_DECISIONS_URI"
    asked = SMALLEST | {variable: "s3://audit/"}
    assert Settings.from_environment(asked).decisions_uri == "s3://audit/"
    with pytest.raises(TerminalError, match=variable):
        Settings.from_environment(SMALLEST | {variable: "/var/log"})


@pytest.mark.parametrize("name", SMALLEST)
def test_names_what_is_missing(name: str) -> None:
    with pytest.raises(TerminalError, match=name):
        Settings.from_environment({k: v for k, v in SMALLEST.items() if k != name})


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_names_what_is_no_number(value: str) -> None:
    with pytest.raises(TerminalError, match="TIDEGATE_WORKERS"):
        Settings.from_environment(SMALLEST | {"TIDEGATE_WORKERS": value})

"""Identity in the chart: who proves who a buyer is, by which keys, and what the gateway may reach for them."""

from typing import Any

import pytest

from tests.chart.rendering import documents, find, helm

JWT = {"identity.jwt.issuer": "https://login.example.com/", "identity.jwt.audience": "shop"}
JWKS = JWT | {"identity.jwt.jwksUrl": "https://login.example.com:8443/keys"}


def rendered(**values: str) -> list[dict[str, Any]]:
    status, text = helm(*(part for pair in values.items() for part in ("--set", "=".join(pair))))
    assert status == 0, text
    return documents(text)


def gateway(rendering: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(pod, variables) of the gateway."""
    pod = find(rendering, "Deployment", "shop-flashsale-gateway")["spec"]["template"]["spec"]
    return pod, {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in pod["containers"][0]["env"]}


def test_a_backend_proves_its_buyers_by_a_generated_key() -> None:
    rendering = rendered()
    _, variables = gateway(rendering)
    assert variables["FLASHSALE_IDENTITY"] == "service"
    assert variables["FLASHSALE_SERVICE_KEYS"] == {"secretKeyRef": {"name": "shop-flashsale-identity", "key": "service-keys"}}
    assert variables["FLASHSALE_ADMIN_KEYS"]["secretKeyRef"] == {
        "name": "shop-flashsale-credentials",
        "key": "admin-keys",
        "optional": True,
    }
    assert set(find(rendering, "Secret", "shop-flashsale-identity")["data"]) == {"service-keys", "buyer-token-key"}


def test_own_secret_has_the_keys_that_the_modes_need() -> None:
    rendering = rendered(**{"identity.modes": "{token,service}", "credentials.existingSecret": "mine"})
    _, variables = gateway(rendering)
    assert variables["FLASHSALE_BUYER_TOKEN_KEY"] == {"secretKeyRef": {"name": "mine", "key": "buyer-token-key"}}
    assert variables["FLASHSALE_SERVICE_KEYS"] == {"secretKeyRef": {"name": "mine", "key": "service-keys"}}
    assert [document for document in rendering if document["metadata"]["name"] == "shop-flashsale-identity"] == []


@pytest.mark.parametrize(("url", "port"), [(JWKS["identity.jwt.jwksUrl"], 8443), ("https://login.example.com/keys", 443)])
def test_gateway_may_reach_the_keys_of_the_identity_provider(url: str, port: int) -> None:
    rendering = rendered(**JWKS | {"identity.modes": "{jwt}", "identity.jwt.jwksUrl": url, "networkPolicy.enabled": "true"})
    assert gateway(rendering)[1]["FLASHSALE_JWT_JWKS_URL"] == url
    egress = find(rendering, "NetworkPolicy", "shop-flashsale-gateway")["spec"]["egress"]
    assert {"ports": [{"port": port}]} in egress
    without = rendered(**{"networkPolicy.enabled": "true"})
    assert {"ports": [{"port": port}]} not in find(without, "NetworkPolicy", "shop-flashsale-gateway")["spec"]["egress"]


def test_keys_may_come_from_a_config_map() -> None:
    pod, variables = gateway(rendered(**JWT | {"identity.modes": "{jwt}", "identity.jwt.jwksConfigMap": "login-keys"}))
    assert variables["FLASHSALE_JWT_JWKS_FILE"] == "/etc/flashsale/jwks/jwks.json"
    assert {"name": "jwks", "configMap": {"name": "login-keys"}} in pod["volumes"]
    assert {"name": "jwks", "mountPath": "/etc/flashsale/jwks", "readOnly": True} in pod["containers"][0]["volumeMounts"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (JWT, "nothing verifies a JWT"),
        (JWKS | {"identity.jwt.jwksConfigMap": "login-keys"}, "keep one"),
        (JWT | {"identity.jwt.jwksUrl": "http://login.example.com/keys"}, "decides who every buyer is"),
        (JWT | {"identity.jwt.sharedSecret": "true"}, "needs credentials.existingSecret"),
    ],
)
def test_contradicting_values_are_refused_with_the_cure(values: dict[str, str], words: str) -> None:
    status, text = helm("--set", "identity.modes={jwt}", *(part for pair in values.items() for part in ("--set", "=".join(pair))))
    assert (status, words in text) == (1, True), text

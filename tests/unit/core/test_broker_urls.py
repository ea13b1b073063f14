"""RabbitMQ may have several nodes, in AMQP_URL and in a setting of its own."""

import pytest

from flashsale_core.broker_urls import HOSTS_MAX, Nodes, broker_url, nodes
from flashsale_core.errors import SettingsError
from flashsale_core.semconv import send
from flashsale_core.settings import Environment

URL = "amqp://u:p%40x@service:5672/%2Fshop?heartbeat=7"


def node_url(host: str) -> str:
    return f"amqp://u:p%40x@{host}/%2Fshop?heartbeat=7"


def test_url_of_one_node_names_it_with_the_default_timeout() -> None:
    assert nodes(broker_url(URL, Environment({}))) == Nodes([URL], 3.0)


def test_hosts_of_the_setting_are_added_to_those_of_the_url() -> None:
    environment = Environment({"FLASHSALE_AMQP_HOSTS": "a:1, b:2,service:5672", "FLASHSALE_AMQP_CONNECT_TIMEOUT_SECONDS": "0.5"})
    assert nodes(broker_url(URL, environment)) == Nodes([node_url(host) for host in ("a:1", "b:2", "service:5672")], 0.5)


def test_url_itself_may_name_several_nodes() -> None:
    assert nodes(broker_url("amqps://u:p@a:1,[fd00::7]:2,c/", Environment({}))).urls == [
        f"amqps://u:p@{host}/" for host in ("a:1", "[fd00::7]:2", "c")
    ]


def test_url_without_options_has_its_nodes_as_well() -> None:
    assert nodes("amqp://a,b/") == Nodes(["amqp://a/", "amqp://b/"], 3.0)


def test_span_names_no_server_if_there_are_several() -> None:
    assert not [name for name in send("events", "order", broker_url("amqp://a,b:5672/", Environment({}))).attributes if "server" in name]


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"FLASHSALE_AMQP_HOSTS": "a:1,,b"}, "FLASHSALE_AMQP_HOSTS must be HOST:PORT, with commas between"),
        ({"FLASHSALE_AMQP_HOSTS": "amqp://a:1"}, "FLASHSALE_AMQP_HOSTS must be HOST:PORT"),
        ({"FLASHSALE_AMQP_HOSTS": "a:65536"}, "FLASHSALE_AMQP_HOSTS must be HOST:PORT"),
        ({"FLASHSALE_AMQP_HOSTS": ",".join(f"node-{n}" for n in range(HOSTS_MAX))}, "name 17 hosts; name at most 16"),
        ({"FLASHSALE_AMQP_CONNECT_TIMEOUT_SECONDS": "0"}, "FLASHSALE_AMQP_CONNECT_TIMEOUT_SECONDS must be between 0.1 and 60"),
    ],
)
def test_wrong_setting_is_refused_by_its_name(variables: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as refused:
        broker_url("amqp://u:hidden@service/", Environment(variables))
    assert "hidden" not in str(refused.value)

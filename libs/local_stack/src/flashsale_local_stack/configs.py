"""The servers' configuration files, as text. Pure."""

from flashsale_local_stack.state import HOST, RedisNode, State

# Longer hashes are hash tables instead of lists that every lookup scans: with some hundred orders a sale costs Redis a sixth less CPU time.
LISTPACK_ENTRIES_MAX = 32
LOOPBACK_TUPLE = "{" + HOST.replace(".", ",") + "}"


def redis_conf(state: State, data: str, node: RedisNode | None = None) -> str:
    return _redis_conf(node.port if node else state.ports.redis, state.secrets.redis, data) + (
        _cluster_conf(node, state.secrets.redis) if node else ""
    )


def replicated_redis_conf(port: int, password: str, data: str, master_port: int | None) -> str:
    """A server that Sentinels watch: a replica of `master_port`, or the first master if that is None."""
    return f"""{_redis_conf(port, password, data)}masterauth {password}
min-replicas-to-write 1
min-replicas-max-lag 5
repl-diskless-sync-delay 0
{"" if master_port is None else f"replicaof {HOST} {master_port}"}
"""


def sentinel_conf(port: int, password: str, data: str, service: str, master_port: int, redis_password: str, down_after_ms: int) -> str:
    return f"""bind {HOST}
port {port}
requirepass {password}
sentinel sentinel-pass {password}
dir {_redis_quoted(data)}
daemonize no
sentinel monitor {service} {HOST} {master_port} 2
sentinel auth-pass {service} {redis_password}
sentinel down-after-milliseconds {service} {down_after_ms}
sentinel failover-timeout {service} {2 * down_after_ms}
sentinel parallel-syncs {service} 2
"""


def _redis_conf(port: int, password: str, data: str) -> str:
    return f"""bind {HOST}
port {port}
requirepass {password}
dir {_redis_quoted(data)}
daemonize no
tcp-backlog 4096
maxclients 10000
appendonly yes
appendfsync always
no-appendfsync-on-rewrite no
save ""
maxmemory-policy noeviction
hash-max-listpack-entries {LISTPACK_ENTRIES_MAX}
"""


def _cluster_conf(node: RedisNode, password: str) -> str:
    # With full coverage one failed master would stop all of them, although the sales on the others do not need it.
    return f"""masterauth {password}
cluster-enabled yes
cluster-port {node.bus_port}
cluster-config-file nodes.conf
cluster-node-timeout 2000
cluster-require-full-coverage no
"""


def _redis_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def rabbitmq_conf(state: State, definitions: str) -> str:
    # The watermark is absolute, because a share of memory would differ from laptop to laptop.
    return f"""listeners.tcp.1 = {HOST}:{state.ports.amqp}
load_definitions = {definitions}
loopback_users = none
default_vhost = /
vm_memory_high_watermark.absolute = 1GiB
disk_free_limit.absolute = 200MB
heartbeat = 10
log.file.level = warning
"""


def rabbitmq_env(state: State, home: str, base: dict[str, str]) -> dict[str, str]:
    folder = f"{home}/rabbitmq"
    return base | {
        "HOME": folder,
        "RABBITMQ_NODENAME": f"flashsale{state.ports.amqp}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": HOST,
        "RABBITMQ_NODE_PORT": str(state.ports.amqp),
        "RABBITMQ_DIST_PORT": str(state.ports.dist),
        "RABBITMQ_MNESIA_BASE": f"{folder}/data",
        "RABBITMQ_LOG_BASE": f"{folder}/log",
        "RABBITMQ_LOGS": f"{folder}/log/rabbit.log",
        "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
        "RABBITMQ_CONF_ENV_FILE": f"{folder}/none.conf",
        "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/none.config",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
        "RABBITMQ_PID_FILE": f"{folder}/rabbit.pid",
        "RABBITMQ_ERLANG_COOKIE": state.secrets.cookie,
        "ERL_EPMD_PORT": str(state.ports.epmd),
        "ERL_EPMD_ADDRESS": HOST,
        # An idle broker must not spin on the cores that the sale needs, and a killed one must not dump gigabytes.
        # Without an address, as an Erlang tuple, Erlang's own port would listen on every interface.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {LOOPBACK_TUPLE}",
        "ERL_CRASH_DUMP_SECONDS": "0",
        "LANG": "C.UTF-8",
    }


def postgres_conf(state: State) -> str:
    return f"""
listen_addresses = '{HOST}'
port = {state.ports.postgres}
unix_socket_directories = ''
max_connections = 60
shared_buffers = 128MB
max_wal_size = 2GB
log_min_messages = warning
"""


def connection_urls(state: State) -> dict[str, str]:
    ports, secrets = state.ports, state.secrets
    return {
        "REDIS_URL": _redis_url(state),
        "AMQP_URL": f"amqp://flashsale:{secrets.amqp}@{HOST}:{ports.amqp}/",
        "DATABASE_URL": f"postgresql://flashsale:{secrets.postgres}@{HOST}:{ports.postgres}/flashsale",
    }


def _redis_url(state: State) -> str:
    if state.redis_nodes:
        return f"redis+cluster://:{state.secrets.redis}@{','.join(f'{HOST}:{node.port}' for node in state.redis_nodes)}"
    return f"redis://:{state.secrets.redis}@{HOST}:{state.ports.redis}/0"


def _console_env(state: State) -> dict[str, str]:
    """What the console needs, and with the key by which gateway and ledger-api know it; nothing unless the stack has one."""
    if not state.console_users_file:
        return {}
    ports, secrets = state.ports, state.secrets
    probes = (ports.keeper, ports.order_worker, ports.timeout_worker)
    return {
        "FLASHSALE_ADMIN_KEYS": f"console:{secrets.console_key}",
        "FLASHSALE_ADMIN_URL": f"http://{HOST}:{ports.gateway}",
        "FLASHSALE_CONSOLE_PORT": str(ports.console),
        "FLASHSALE_CONSOLE_ORIGINS": f"http://{HOST}:{ports.console}",
        "FLASHSALE_CONSOLE_ADMIN_KEY": secrets.console_key,
        "FLASHSALE_CONSOLE_SESSION_KEY": secrets.console_session,
        "FLASHSALE_CONSOLE_USERS_FILE": state.console_users_file,
        "FLASHSALE_CONSOLE_PROBE_PORT": str(ports.console_probes),
        "FLASHSALE_CONSOLE_METRICS_URLS": ",".join(f"http://{HOST}:{port}/metrics" for port in probes),
    }


def page_addresses(state: State, sale_id: str) -> list[str]:
    """Where the pages of the optional services are, those of one sale if it is named, and how to log in."""
    storefront = f"http://{HOST}:{state.ports.storefront}/s/{sale_id or 'SALE'}"
    console = f"http://{HOST}:{state.ports.console}{f'/sales/{sale_id}' if sale_id else ''}"
    lines = {
        "storefront": f"storefront on {storefront}: buy as a guest; payments are simulated",
        "console": f"console on {console}: log in as merchant or viewer with {state.secrets.console_password}",
    }
    return [line for name, line in lines.items() if name in state.optional]


def public_env(state: State, root: str) -> dict[str, str]:
    """The contents of `<home>/env`: what people and tools need to use the stack, and what services need to run in it."""
    ports, secrets = state.ports, state.secrets
    return {
        "FLASHSALE_URL": f"http://{HOST}:{ports.gateway}",
        "FLASHSALE_ADMIN_TOKEN": secrets.admin_token,
        "FLASHSALE_WEBHOOK_SECRET": secrets.webhook,
        **connection_urls(state),
        # On a laptop whoever reaches the gateway may be any buyer. A request that bears a proof is held to it.
        "FLASHSALE_IDENTITY": "body,token,service",
        "FLASHSALE_BUYER_TOKEN_KEY": secrets.buyer_token_key,
        "FLASHSALE_SERVICE_KEYS": f"shop:{secrets.service_key}",
        "FLASHSALE_ORDER_ID_KEY": secrets.order_id_key,
        "FLASHSALE_LUA_DIR": f"{root}/lua",
        "FLASHSALE_DB_DIR": f"{root}/db",
        "FLASHSALE_PAYMENT_WINDOWS": "5,15,60,120,300,600,900,1800",
        "FLASHSALE_HOST": HOST,
        "FLASHSALE_PORT": str(ports.gateway),
        "FLASHSALE_PROBE_HOST": HOST,
        "FLASHSALE_ORDER_WORKER_PROBE_PORT": str(ports.order_worker),
        "FLASHSALE_TIMEOUT_WORKER_PROBE_PORT": str(ports.timeout_worker),
        "FLASHSALE_KEEPER_PROBE_PORT": str(ports.keeper),
        "FLASHSALE_LEDGER_API_URL": f"http://{HOST}:{ports.ledger_api}",
        "FLASHSALE_LEDGER_API_PORT": str(ports.ledger_api),
        "FLASHSALE_LEDGER_API_PROBE_PORT": str(ports.ledger_api_probes),
        **_console_env(state),
        **_storefront_env(state),
        **state.extra_env,
    }


def _storefront_env(state: State) -> dict[str, str]:
    """Empty without a storefront. Its payments are simulated, and its page may call the gateway."""
    if "storefront" not in state.optional:
        return {}
    page = f"http://{HOST}:{state.ports.storefront}"
    return {
        "FLASHSALE_STOREFRONT_URL": page,
        "FLASHSALE_STOREFRONT_PORT": str(state.ports.storefront),
        "FLASHSALE_STOREFRONT_PROBE_PORT": str(state.ports.storefront_probes),
        "FLASHSALE_STOREFRONT_API_URL": f"http://{HOST}:{state.ports.gateway}",
        "FLASHSALE_STOREFRONT_DEMO": "true",
        "FLASHSALE_CORS_ORIGINS": page,
    }

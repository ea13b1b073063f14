"""The names of the components of a stack, in the order in which they start. Pure."""

from flashsale_local_stack.errors import StackError
from flashsale_local_stack.services import MODULES
from flashsale_local_stack.state import State

INFRASTRUCTURE = ("redis", "rabbitmq", "postgres")
SERVICES = tuple(MODULES)


def servers_of(state: State) -> tuple[str, ...]:
    return (*expand(state, "redis"), *INFRASTRUCTURE[1:])


def components_of(state: State) -> tuple[str, ...]:
    return (*servers_of(state), *SERVICES, *state.optional)


def expand(state: State, name: str) -> tuple[str, ...]:
    """The components with that name: all masters for `redis` in a cluster, otherwise the name itself."""
    if name == "redis" and state.redis_nodes:
        return tuple(f"redis-{number}" for number in range(1, len(state.redis_nodes) + 1))
    return (name,)


def refuse_other_masters(state: State, wanted: int | None) -> None:
    masters = len(state.redis_nodes) or 1
    if wanted not in (None, masters):
        raise StackError(f"this stack and its data have {masters} Redis master(s); run `flashsale stack down` first; it deletes the data")

"""What the routes call, opened by the composition root."""

from collections import OrderedDict
from dataclasses import dataclass, field

from starlette.requests import Request

from flashsale_console.attempts import Attempts
from flashsale_console.engine import Engine
from flashsale_console.histories import Histories
from flashsale_console.ledger import Ledger
from flashsale_console.live_sales import LiveSales
from flashsale_console.password_checks import PasswordChecks
from flashsale_console.settings import Settings
from flashsale_console.users import Users
from flashsale_console.watch import Watch

ENDED_SESSIONS_MAX = 10_000


class EndedSessions:
    """The ids of sessions that a log-out ended, the latest ones. A restarted console forgets them; their cookies are deleted anyway."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def add(self, session_id: str) -> None:
        self._ids[session_id] = None
        while len(self._ids) > ENDED_SESSIONS_MAX:
            self._ids.popitem(last=False)

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._ids


@dataclass(frozen=True, slots=True)
class Console:
    settings: Settings
    users: Users
    ledger: Ledger
    live: LiveSales
    engine: Engine
    watch: Watch
    histories: Histories
    passwords: PasswordChecks
    attempts: Attempts = field(default_factory=Attempts)
    ended_sessions: EndedSessions = field(default_factory=EndedSessions)


def console_of(request: Request) -> Console:
    console: Console = request.app.state.console
    return console

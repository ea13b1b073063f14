"""A browser's view of the console without a browser: cookies, forms and the Origin header."""

import re
from collections.abc import Mapping
from http.client import HTTPConnection
from typing import NamedTuple
from urllib.parse import urlencode

from flashsale_local_stack import Stack
from flashsale_local_stack.state import load


class Page(NamedTuple):
    status: int
    headers: Mapping[str, str]
    text: str

    def fields(self) -> dict[str, str]:
        """The hidden fields of the page's forms."""
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', self.text))


class Visitor:
    def __init__(self, stack: Stack) -> None:
        env = stack.env()
        self.origin = env["FLASHSALE_CONSOLE_ORIGINS"]
        state = load(stack.home)
        assert state is not None
        self.password = state.secrets.console_password
        self.cookie = ""

    def get(self, path: str, **headers: str) -> Page:
        return self.send("GET", path, None, headers)

    def post(self, path: str, fields: Mapping[str, str], **headers: str) -> Page:
        return self.send("POST", path, urlencode(fields), {"origin": self.origin} | headers)

    def send(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> Page:
        connection = HTTPConnection(self.origin.removeprefix("http://"), timeout=60)
        sent = {"content-type": "application/x-www-form-urlencoded"} if body is not None else {}
        sent |= {"cookie": self.cookie} if self.cookie else {}
        try:
            connection.request(method, path, body, {**sent, **headers})
            answer = connection.getresponse()
            page = Page(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode())
        finally:
            connection.close()
        if cookie := page.headers.get("set-cookie"):
            self.cookie = cookie.split(";")[0]
        return page

    def log_in(self, name: str) -> "Visitor":
        page = self.post("/login", {"name": name, "password": self.password})
        assert (page.status, page.headers["location"]) == (303, "/")
        return self

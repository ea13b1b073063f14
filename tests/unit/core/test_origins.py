"""Origins of pages: exactly what browsers send, and errors that name the variable and the fix."""

import pytest

from flashsale_core.errors import SettingsError
from flashsale_core.origins import ORIGINS_MAX, read_origins


def test_origins_are_read_once_each_in_their_order() -> None:
    listed = "https://shop.example,http://127.0.0.1:8080,https://shop.example,https://[::1]:8443"
    assert read_origins(listed, "ORIGINS") == ("https://shop.example", "http://127.0.0.1:8080", "https://[::1]:8443")
    assert read_origins("", "ORIGINS") == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("*", "a page of anybody"),
        ("https://shop.example,*", "a page of anybody"),
        ("null", "the origin of files"),
        ("https://*.shop.example", "no origin"),
        ("shop.example", "no origin"),
        ("https://shop.example/", "no origin"),
        ("https://Shop.example", "no origin"),
        ("https://shop.example, https://a.example", "no origin"),
        ("https://a.example,,https://b.example", "no origin"),
        ("https://shop.example:0", "no origin"),
        ("https://shop.example:65536", "no origin"),
        ("https://ann@shop.example", "no origin"),
        ("ftp://shop.example", "no origin"),
        ("https://shop.example:443", "write https://shop.example$"),
        ("http://[::1]:80", r"write http://\[::1\]$"),
        (",".join(f"https://{number}.example" for number in range(ORIGINS_MAX + 1)), f"at most {ORIGINS_MAX}"),
    ],
)
def test_what_no_browser_sends_is_refused(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"^ORIGINS has .*{words}"):
        read_origins(text, "ORIGINS")

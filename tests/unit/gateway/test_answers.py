from flashsale_gateway.http.answers import Answer

ANSWER = Answer(409, ((b"content-type", b"application/problem+json"), (b"retry-after", b"2")), b'{"code":"ended"}')


def test_answer_is_rendered_as_bytes() -> None:
    assert ANSWER.wire(b"date: today\r\n") == (
        b"HTTP/1.1 409 Conflict\r\n"
        b"content-type: application/problem+json\r\n"
        b"retry-after: 2\r\n"
        b"date: today\r\n"
        b"content-length: 16\r\n"
        b"\r\n"
        b'{"code":"ended"}'
    )


def test_answer_is_rendered_as_asgi_messages() -> None:
    start, body = ANSWER.messages()
    assert (start["status"], body["body"]) == (409, b'{"code":"ended"}')
    assert dict(start["headers"]) == {b"content-type": b"application/problem+json", b"retry-after": b"2", b"content-length": b"16"}

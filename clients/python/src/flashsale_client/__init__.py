"""The client of a flashsale engine: a patient `buy`, and the signer of buyer tokens. It imports nothing but the standard library."""

from flashsale_client.buying import Bought, Patience, Refused, Wish, buy, new_request_id
from flashsale_client.http import Answer, Json, Send, send
from flashsale_client.tokens import sign_buyer_token

__all__ = [
    "Answer",
    "Bought",
    "Json",
    "Patience",
    "Refused",
    "Send",
    "Wish",
    "buy",
    "new_request_id",
    "send",
    "sign_buyer_token",
]

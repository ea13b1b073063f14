"""`python -m examples.shop`: the shop on 127.0.0.1:8080."""

import logging
import os

import uvicorn

from examples.shop.app import Shop, create_app
from examples.shop.settings import read_settings

logging.basicConfig(level=logging.INFO)
uvicorn.run(create_app(Shop(read_settings())), host="127.0.0.1", port=int(os.environ.get("SHOP_PORT", "8080")))

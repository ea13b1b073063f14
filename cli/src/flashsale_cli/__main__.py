"""`python -m flashsale_cli` is the same as `flashsale`."""

from flashsale_cli.main import app

if __name__ == "__main__":
    app(prog_name="flashsale")

"""People who buy at the demo's storefront while its crowd does. Their orders are genuine, but no buyer of the crowd received them."""

from collections.abc import Sequence

from flashsale_cli.ledger_connection import open_connection

QUERY = """
select count(*) from orders
where sale_id = $1 and not exists (select from unnest($2::text[]) as prefix where starts_with(user_id, prefix))
"""


async def count_orders(database_url: str, sale_id: str, prefixes: Sequence[str]) -> int:
    """How many orders of the sale are of users whose ids begin with none of the prefixes. Raises Retryable."""
    async with open_connection(database_url) as connection:
        return int(await connection.fetchval(QUERY, sale_id, list(prefixes)))

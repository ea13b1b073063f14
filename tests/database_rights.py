"""What each database role of the services may do, as db/*.sql grants it; shared by the integration and the e2e tests."""

TABLES = (
    "schema_migrations", "installation", "shards", "sales", "orders", "order_events", "payments", "refunds", "refund_events",
    "refund_reports", "received_entries", "markers", "sale_changes",
)  # fmt: skip
RIGHTS = {
    "writer": {
        **dict.fromkeys(("schema_migrations", "installation", "shards", "reported_refunds"), "r"),
        **dict.fromkeys(("sales", "orders", "payments"), "raw"),
        **dict.fromkeys(("order_events", "sale_changes", "received_entries", "markers", "refund_events", "refund_reports"), "ra"),
        "refunds": "rawd",
    },
    "keeper": {
        **dict.fromkeys((name for name in TABLES if name not in ("refund_events", "refund_reports")), "r"),
        "shards": "raw",
    },
    "reader": dict.fromkeys(TABLES, "r"),
    "retention": {
        **dict.fromkeys(("schema_migrations", "installation", "shards", "reported_refunds"), "r"),
        **dict.fromkeys(
            ("sales", "orders", "order_events", "sale_changes", "payments", "refunds", "refund_events", "refund_reports", "markers"), "rd"
        ),
        "received_entries": "rad",
    },
    "ledger_api": {
        **dict.fromkeys(("schema_migrations", "installation", "sales", "orders", "payments", "refund_reports"), "r"),
        **dict.fromkeys(("reported_refunds", "shop_events"), "r"),
        **dict.fromkeys(("refunds", "refund_events"), "ra"),
        "order_events": "a",
    },
    "notifier": {
        **dict.fromkeys(("schema_migrations", "installation", "sales", "shards", "received_entries"), "r"),
        **dict.fromkeys(("shop_events", "webhook_attempts"), "rad"),
        "webhook_endpoints": "rawd",
        "webhook_deliveries": "rawd",
    },
    "console": dict.fromkeys(
        (
            "schema_migrations",
            "installation",
            "sales",
            "sale_changes",
            "orders",
            "order_events",
            "refunds",
            "reported_refunds",
            "webhook_deliveries",
            "webhook_attempts",
            "shop_events",
        ),
        "r",
    ),
}
"""Every right of every role, in the letters of Postgres' access lists: read, append, write (update), delete."""
GRANTED = """
    select c.relname, string_agg(a.letter, '' order by position(a.letter in 'rawd')) from pg_class c
      cross join (values ('r', 'select'), ('a', 'insert'), ('w', 'update'), ('d', 'delete'), ('D', 'truncate'), ('t', 'trigger'))
        as a (letter, word)
     where c.relkind in ('r', 'v', 'm', 'p')
       and c.relnamespace = 'public'::regnamespace and has_table_privilege(current_user, c.oid, a.word)
     group by c.relname
"""

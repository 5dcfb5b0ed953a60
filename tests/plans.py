"""What PostgreSQL reads to answer a query, whatever its planner makes of a small table."""

from __future__ import annotations

from django.db import connection


def rows_read(query, params=None, *, tables, without):
    """How many rows of tables that begin so; `without` names what the planner shall not take."""
    with connection.cursor() as cursor:
        # Whatever was last noted of these tables was noted of other rows.
        cursor.execute("ANALYZE")
        for way in without:
            cursor.execute(f"SET LOCAL enable_{way} = off")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", params)
        [(explained,)] = cursor.fetchall()
    return sum(
        (step["Actual Rows"] + step.get("Rows Removed by Filter", 0)) * step["Actual Loops"]
        for step in _steps(explained[0]["Plan"])
        if step.get("Relation Name", "").startswith(tables)
    )


def _steps(plan):
    yield plan
    for below in plan.get("Plans", ()):
        yield from _steps(below)

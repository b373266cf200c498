"""Which origins can be trusted, from what ingestion verified.

`python -m demo.trust_analysis --db FILE --report FILE`
"""

from __future__ import annotations

import argparse
import sqlite3
from dataclasses import dataclass
from pathlib import Path

NEWEST = 200
"""Checks that are looked at, the newest ones."""
TRUSTED = 0.85
"""Share of verified documents above which an origin is trusted."""

_BY_ORIGIN = """
SELECT source, count(*), sum(verified) FROM (SELECT * FROM sources ORDER BY id DESC LIMIT ?) GROUP BY source
ORDER BY sum(verified) * 1.0 / count(*), source
"""
_ALTERED = """
SELECT DISTINCT document FROM (SELECT * FROM sources ORDER BY id DESC LIMIT ?) WHERE NOT verified ORDER BY document
"""


@dataclass(frozen=True, slots=True)
class Trust:
    """How many documents of one origin were checked, and how many of them were what they should be."""

    origin: str
    checked: int
    verified: int

    @property
    def share(self) -> float:
        return self.verified / self.checked

    @property
    def verdict(self) -> str:
        return "trusted" if self.share > TRUSTED else "not trusted"


def analyse(db: Path) -> tuple[tuple[Trust, ...], tuple[str, ...]]:
    """The origins, least trustworthy first, and the documents that were altered. Only reads."""
    connection = sqlite3.connect(f"{db.resolve().as_uri()}?mode=ro", uri=True, timeout=10.0)
    try:
        origins = tuple(Trust(*row) for row in connection.execute(_BY_ORIGIN, (NEWEST,)))
        return origins, tuple(row[0] for row in connection.execute(_ALTERED, (NEWEST,)))
    finally:
        connection.close()


def render(origins: tuple[Trust, ...], altered: tuple[str, ...]) -> str:
    """The report as Markdown."""
    rows = [f"| {one.origin} | {one.checked} | {one.verified} | {one.share:.0%} | {one.verdict} |" for one in origins]
    return "\n".join(
        [
            "# Trust analysis",
            "",
            f"The newest {sum(one.checked for one in origins)} checks, least trustworthy origin first.",
            "",
            "| origin | checked | verified | share | verdict |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"Altered documents: {', '.join(altered) or 'none'}.",
            "",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="demo.trust_analysis", description=__doc__)
    parser.add_argument("--db", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    given = parser.parse_args()
    given.report.write_text(render(*analyse(given.db)), encoding="utf-8")

"""Everything that `grace grafana build` writes, as relative names and texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from catalog.model import Catalog, Category
from grafana.boards.category import category
from grafana.boards.frame import Board, text
from grafana.boards.itself import itself
from grafana.boards.overview import overview
from grafana.boards.remediation import remediation
from grafana.provisioning import files


def build(catalog: Catalog) -> Mapping[str, str]:
    """Dashboards in `dashboards/`, each named after its uid, and what tells Grafana about them in `provisioning/`."""
    return {**{f"dashboards/{board.uid}.json": text(board) for board in boards(catalog)}, **files()}


def boards(catalog: Catalog) -> Iterator[Board]:
    """The overview, one for each category that has a metric that is on, remediation, Grace itself."""
    yield overview(catalog)
    for which in Category:
        board = category(catalog, which)
        if board is not None:
            yield board
    yield remediation()
    yield itself()

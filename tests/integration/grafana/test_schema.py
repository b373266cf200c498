"""Every dashboard is what Grafana's own types say: its JSON type-checked against npm @grafana/schema."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("@grafana/schema@11.6.16", "typescript@5.8.3")
DATA = "@grafana/data@11.6.16"
PANELS = {
    "timeseries": "TimeSeries",
    "stat": "Stat",
    "state-timeline": "StateTimeline",
    "bargauge": "BarGauge",
    "table": "Table",
    "heatmap": "Heatmap",
}
WITHOUT_FIELDS = frozenset({"stat", "bargauge"})
"""Panels whose fields have no options of their own."""

TYPES = """\
import type * as schema from '@grafana/schema';
// What a value of T looks like in JSON: enums are their values.
export type Plain<T> = 0 extends 1 & T ? any
  : T extends string ? `${T}`
  : T extends number ? (`${T}` extends `${infer N extends number}` ? N : never)
  : T extends readonly (infer E)[] ? Plain<E>[]
  : T extends object ? { [K in keyof T]: Plain<T[K]> }
  : T;
type Annotation = Plain<schema.AnnotationQuery>
  & { expr?: string; step?: string; tagKeys?: string; titleFormat?: string; textFormat?: string }
  & { useValueForTime?: boolean };
export type Board = Omit<Plain<schema.Dashboard>, 'annotations' | 'panels'>
  & { annotations: { list: Annotation[] }; panels: never[] };
export type Row = Plain<schema.RowPanel>;
// A threshold of null stands for minus infinity, which JSON cannot write.
type Steps = { mode: `${schema.ThresholdsMode}`; steps: { value: number | null; color: string }[] };
type Mappings = { mappings?: Plain<schema.ValueMapping>[]; thresholds?: Steps };
type Defaults<F> = Omit<Plain<schema.FieldConfig>, 'custom' | 'mappings' | 'thresholds'>
  & Mappings & { custom?: Partial<Plain<F>> };
export type PanelOf<O, F> = Omit<Plain<schema.Panel>, 'options' | 'fieldConfig' | 'type'> & {
  type: string;
  options: Partial<Plain<O>>;
  fieldConfig: { defaults: Defaults<F>; overrides: Plain<schema.FieldConfigSource['overrides']> };
};
"""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with TypeScript and Grafana's types."""
    if shutil.which("npm") is None:
        pytest.fail("the proof needs npm")
    folder = tmp_path_factory.mktemp("schema")
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-save", *PACKAGES], cwd=folder, check=True)
    (folder / "types.ts").write_text(TYPES)
    return folder


def source(dashboard: dict[str, Any]) -> str:
    """TypeScript that holds the dashboard as literals of Grafana's types: names that it does not know are errors."""
    kinds = sorted({panel["type"] for panel in dashboard["panels"]} - {"row"})
    lines = ["import type { Board, PanelOf, Row } from './types';"]
    for kind in kinds:
        name, path = PANELS[kind], kind.replace("-", "")
        module = f"./node_modules/@grafana/schema/dist/esm/raw/composable/{path}/panelcfg/x/{name}PanelCfg_types.gen"
        lines.append(f"import type * as {name} from '{module}';")
    lines.append(f"export const board: Board = {json.dumps({**dashboard, 'panels': []})};")
    for panel in dashboard["panels"]:
        kind, variable = panel["type"], f"panel{panel['id']}"
        if kind == "row":
            lines.append(f"export const {variable}: Row = {json.dumps(panel)};")
            continue
        fields = "{}" if kind in WITHOUT_FIELDS else f"{PANELS[kind]}.FieldConfig"
        lines.append(f"export const {variable}: PanelOf<{PANELS[kind]}.Options, {fields}> = {json.dumps(panel)};")
    return "\n".join(lines) + "\n"


def compile_all(workshop: Path, dashboards: Mapping[str, dict[str, Any]]) -> str:
    """What the compiler complains of; empty when nothing."""
    for name, dashboard in dashboards.items():
        (workshop / f"{name}.ts").write_text(source(dashboard))
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]
    done = subprocess.run(
        ["node_modules/.bin/tsc", *options, *(f"{name}.ts" for name in dashboards)],
        cwd=workshop,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode else ""


@pytest.mark.prove
def test_every_dashboard_is_of_grafanas_types(workshop: Path) -> None:
    paths = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
    assert len(paths) == 8
    assert compile_all(workshop, {path.stem: json.loads(path.read_text()) for path in paths}) == ""


@pytest.mark.prove
@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("graphTooltip",), 7),
        (("panels", 1, "fieldConfig", "defaults", "thresholds", "mode"), "relative"),
        (("panels", 1, "options", "colorMode"), "rainbow"),
        (("panels", 1, "optoins"), {}),
        (("templating", "list", 0, "type"), "datasauce"),
    ],
)
def test_what_is_not_is_refused(where: tuple[Any, ...], value: Any, workshop: Path) -> None:
    dashboard = json.loads((ROOT / "grafana" / "dashboards" / "grace-overview.json").read_text())
    inner = dashboard
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    said = compile_all(workshop, {"grace-overview": dashboard})
    assert said.count("error TS") == 1
    assert "grace-overview.ts" in said


@pytest.mark.prove
def test_the_units_are_those_of_the_source_that_the_list_names(workshop: Path) -> None:
    subprocess.run(["npm", "pack", "--silent", DATA], cwd=workshop, check=True, capture_output=True)
    (archive,) = workshop.glob("grafana-data-*.tgz")
    member = "package/dist/esm/valueFormats/categories.mjs"
    text = subprocess.run(
        ["tar", "xzOf", archive, member], cwd=workshop, check=True, capture_output=True, text=True
    ).stdout
    listed = json.loads((ROOT / "grafana" / "check" / "unit_ids.json").read_text())
    assert DATA.replace("@11", " 11") in listed["source"]
    assert set(re.findall(r'\bid: "([^"]+)"', text)) <= set(listed["ids"])

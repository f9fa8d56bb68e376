// What the files of grafana/dashboards must be: Grafana's own types from the npm package @grafana/schema,
// held strictly, so that a misspelt option is an error instead of nothing. Checked by the TypeScript
// compiler with each dashboard behind it as `const dashboard: Shipped = {…}`.
import type { Dashboard, DataQuery, FieldConfig, Panel, RowPanel } from '@grafana/schema';
import type * as barchart from './node_modules/@grafana/schema/dist/types/raw/composable/barchart/panelcfg/x/BarChartPanelCfg_types.gen';
import type * as piechart from './node_modules/@grafana/schema/dist/types/raw/composable/piechart/panelcfg/x/PieChartPanelCfg_types.gen';
import type * as stat from './node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as table from './node_modules/@grafana/schema/dist/types/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as text from './node_modules/@grafana/schema/dist/types/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';
import type * as timeseries from './node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

/** As JSON has it: an enum of texts is one of those texts. */
type Json<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;

/** Grafana fills in what is left out. */
type Some<T> = T extends (infer U)[] ? Some<U>[] : T extends object ? { [K in keyof T]?: Some<T[K]> } : T;

/** A query to Postgres, as Grafana's PostgreSQL data source takes it. */
interface SqlQuery extends Omit<DataQuery, 'datasource'> {
  datasource: { type: 'grafana-postgresql-datasource'; uid: string };
  editorMode: 'code';
  format: 'table' | 'time_series';
  rawQuery: true;
  rawSql: string;
}

interface Override<Custom> {
  matcher: { id: 'byName' | 'byRegexp' | 'byType'; options: string };
  properties: Property<Custom>[];
}

/** A property of the field, or of what the panel adds to it. */
type Property<Custom> =
  | { [K in keyof FieldConfig]-?: { id: K; value: Json<FieldConfig[K]> } }[Exclude<keyof FieldConfig, 'custom'>]
  | { [K in keyof Custom & string]-?: { id: `custom.${K}`; value: Some<Json<Custom[K]>> } }[keyof Custom & string];

interface Shown<Type extends string, Options, Custom = Record<never, never>>
  extends Json<Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets'>> {
  id: number;
  title: string;
  type: Type;
  targets: SqlQuery[];
  options: Some<Json<Options>>;
  fieldConfig: {
    defaults: Json<Omit<FieldConfig, 'custom'>> & { custom?: Some<Json<Custom>> };
    overrides: Override<Custom>[];
  };
}

type KnownPanel =
  | Shown<'barchart', barchart.Options, barchart.FieldConfig>
  | Shown<'piechart', piechart.Options, piechart.FieldConfig>
  | Shown<'stat', stat.Options>
  | Shown<'table', table.Options, table.FieldConfig>
  | Shown<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | (Omit<Json<Panel>, 'type' | 'options'> & { type: 'text'; options: Some<Json<text.Options>> });

export type Shipped = Json<Omit<Dashboard, 'panels'>> & {
  uid: string;
  title: string;
  panels: (KnownPanel | (Omit<Json<RowPanel>, 'panels'> & { panels: KnownPanel[] }))[];
};

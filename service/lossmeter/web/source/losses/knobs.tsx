// Sliders for the parameters of a loss, with ranges that follow from their bounds and defaults.
import { Check, Select, Slider } from "../controls";
import { allowed } from "./form";
import type { Json, Loss, Parameter, Schema } from "../service";
import { t } from "../strings";

const HIDDEN = new Set(["box_format", "ignore_index", "level", "absent", "include_background", "eps", "smooth", "blank", "zero_infinity", "full"]);
const RANGES: Record<string, [number, number]> = {
  gamma: [0, 5], delta: [0.05, 3], label_smoothing: [0, 0.5], power: [0, 3], temperature: [0.05, 8], alpha: [-2, 2], scale: [0.1, 3], log_zero: [-8, 0],
};

/** Parameters that move a curve. */
export const movable = (loss: Loss) => loss.parameters.filter((one) => !HIDDEN.has(one.name) && !(typeof one.default === "number" && one.default !== 0 && Math.abs(one.default) < 1e-5));

const options = (schema: Schema) => (schema.anyOf ?? [schema]).filter((one) => one.type !== "null");
const nullable = (schema: Schema) => (schema.anyOf ?? []).some((one) => one.type === "null");

export function rangeOf({ name, json_schema, default: start }: Parameter): { minimum: number; maximum: number; step: number } {
  const schema = options(json_schema)[0] ?? {};
  const initial = typeof start === "number" ? start : 1;
  const [usualLow, usualHigh] = RANGES[name] ?? [0, Math.max(2, 4 * Math.abs(initial))];
  const whole = schema.type === "integer";
  const span = usualHigh - usualLow;
  const step = whole ? 1 : span > 20 ? 1 : span > 4 ? 0.05 : span > 1 ? 0.01 : 0.005;
  const low = Math.max(usualLow, schema.minimum ?? -Infinity, schema.exclusiveMinimum !== undefined ? schema.exclusiveMinimum + step : -Infinity);
  const high = Math.min(Math.max(usualHigh, initial), schema.maximum ?? Infinity, schema.exclusiveMaximum !== undefined ? schema.exclusiveMaximum - step : Infinity);
  return { minimum: Math.min(low, initial), maximum: Math.max(high, initial), step };
}

export function Knobs({ loss, values, onValues }: { loss: Loss; values: Record<string, Json>; onValues: (values: Record<string, Json>) => void }) {
  const set = (name: string, value: Json) => onValues({ ...values, [name]: value });
  return (
    <>
      {movable(loss).map((parameter) => <Knob key={parameter.name} parameter={parameter} value={values[parameter.name] ?? parameter.default}
        given={parameter.name in values} onValue={(value) => set(parameter.name, value)} />)}
    </>
  );
}

function Knob({ parameter, value, given, onValue }: { parameter: Parameter; value: Json; given: boolean; onValue: (value: Json) => void }) {
  const { name, json_schema } = parameter;
  const label = <code title={allowed(json_schema)}>{name}</code>;
  if (json_schema.enum) return <Select label={label} value={String(value)} options={json_schema.enum.map(String)} onValue={onValue} />;
  if (json_schema.type === "boolean") return <Check label={label} checked={value === true} onChecked={onValue} />;
  if (json_schema.type === "array") {
    const [quantile = 0.5] = Array.isArray(value) ? (value as number[]) : [];
    return <Slider label={label} value={quantile} minimum={0.01} maximum={0.99} step={0.01} onValue={(one) => onValue([one])} />;
  }
  const range = rangeOf(parameter);
  const none = given ? value === null : parameter.default === null;
  const start = typeof parameter.default === "number" ? parameter.default : Math.max(range.minimum, Math.min(range.maximum, 1));
  const number = typeof value === "number" ? value : start;
  return (
    <Slider label={label} value={number} {...range} disabled={none} onValue={onValue}>
      {nullable(json_schema) && <Check label={t("none")} checked={none} onChecked={(checked) => onValue(checked ? null : start)} />}
    </Slider>
  );
}

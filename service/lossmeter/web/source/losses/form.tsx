// The request of one loss as a form, derived from its catalogue entry and from the fields that all losses share.
import { type ComponentChildren, Fragment } from "preact";
import { useEffect, useId, useLayoutEffect, useMemo, useState } from "preact/hooks";
import { Line, usePromise } from "../prose";
import { laidOut } from "../numbers";
import { fetched, type Json, type Loss, type Role, type Schema } from "../service";
import { comma, t } from "../strings";
import { worded } from "../words";
import { kindOf } from "./profile";

export interface Field {
  name: string;
  schema: Schema;
  label: string;
  description: string;
  /** The text of the value that need not be sent. */
  initial: string;
  tensor: boolean;
}
export type Texts = Record<string, string>;

/** What a JSON Schema allows, in words. */
export function allowed(schema: Schema): string {
  if (schema.anyOf) return schema.anyOf.map(allowed).join(` ${t("or")} `);
  const kinds = [schema.type ?? ""].flat().map((kind) => ({ number: t("a number"), integer: t("an integer") })[kind] ?? kind);
  const bounds = ([[t("above"), schema.exclusiveMinimum], [t("at least"), schema.minimum], [t("below"), schema.exclusiveMaximum], [t("at most"), schema.maximum]] as const)
    .filter(([, bound]) => bound !== undefined && Math.abs(bound) < 2 ** 63);
  return [kinds.join(` ${t("or")} `), ...bounds.map(([word, bound]) => `${word} ${bound}`)].join(comma);
}

const tensor = (role: Role): Field => ({
  name: role.name, schema: {}, tensor: true, initial: "", description: role.description,
  label: [kindOf(role).map((kind) => worded("kind", kind)).join(` ${t("or")} `), role.shape.join(` ${t("or")} `).replaceAll(" or ", ` ${t("or")} `), role.required ? "" : `(${t("optional")})`].filter(Boolean).join(" "),
});

function scalar(name: string, schema: Schema, start: Json | undefined, description = ""): Field {
  const nullable = schema.anyOf?.some((option) => option.type === "null");
  const initial = start === null ? (nullable ? "null" : "") : start === undefined ? "" : JSON.stringify(start);
  return { name, schema, label: schema.enum || schema.type === "boolean" ? "" : allowed(schema), description, initial, tensor: false };
}

export const ownFields = (loss: Loss): Field[] => [
  ...loss.roles.map(tensor),
  ...loss.parameters.map((one) => scalar(one.name, one.json_schema, one.default, one.description)),
  ...loss.tensor_parameters.map(tensor),
];

interface Document {
  paths: Record<string, { post: { requestBody: { content: Record<string, { schema: { $ref: string } }> } } }>;
  components: { schemas: Record<string, Schema & { properties?: Record<string, Schema> }> };
}
const NONE: Field[] = [];
const ELSEWHERE = new Set(["reduction", "gradients", "tensor_encoding"]);

/** The fields that the requests of all losses have in common, as the API document declares them. */
export async function sharedFields(loss: Loss): Promise<Field[]> {
  const document_ = await fetched<Document>("openapi.json");
  const schema = document_.paths[`/v1/losses/${loss.name}`]?.post.requestBody.content["application/json"]?.schema;
  const { schemas } = document_.components;
  const named = ({ $ref = "" }: Schema) => $ref.split("/").at(-1) ?? "";
  const declared = schemas[named(schema ?? {})]?.properties ?? {};
  const own = new Set(ownFields(loss).map((field) => field.name));
  return Object.entries(declared).filter(([name]) => !own.has(name) && !ELSEWHERE.has(name)).map(([name, one]) => {
    const whole: Schema = { ...schemas[named(one)], ...one };
    const about = worded("field", name, whole.description ?? "");
    if (named(one) === "Tensor") return { name, schema: {}, tensor: true, initial: "", label: `(${t("optional")})`, description: about };
    return scalar(name, whole, whole.default, about);
  });
}

export const differentiable = (loss: Loss) => [...loss.roles, ...loss.tensor_parameters].filter((role) => role.differentiable).map((role) => role.name);

export interface Draft {
  texts: Texts;
  reduction: string;
  gradients: string[];
}

/** A draft with an example in it. */
export function draftOf(loss: Loss, number: number): Draft {
  const { request } = loss.examples[number] ?? { request: {} };
  const { reduction = "mean", gradients = differentiable(loss).slice(0, 1), ...rest } = request;
  const texts = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, laidOut(value)]));
  return { texts, reduction: String(reduction), gradients: gradients as string[] };
}

/** What is wrong with a field. */
export interface Fault {
  pointer: string;
  said: ComponentChildren;
}

/** What the numbers of a tensor should be. */
export const meaningOf = (loss: Loss, pointer: string) =>
  [...loss.roles, ...loss.tensor_parameters].find((role) => pointer === `/${role.name}`)?.meaning.map((one) => one.replace(/^[^:]*: /, "")).join(`${comma}${t("or")} `);

export class NotJson extends Error {
  constructor(readonly field: string, message: string) {
    super(message);
  }
}

/** The body as JSON text, in the words of whoever filled the form. Throws NotJson. */
export function written({ texts, reduction, gradients }: Draft, fields: Field[]): string {
  const initial = new Map(fields.map((field) => [field.name, field.initial]));
  const order = [...initial.keys()];
  const members = Object.entries(texts).sort(([a], [b]) => (order.indexOf(a) + 1 || 999) - (order.indexOf(b) + 1 || 999)).flatMap(([name, text]) => {
    if (!text.trim() || text.trim() === initial.get(name)) return [];
    try {
      JSON.parse(text);
    } catch (error) {
      throw new NotJson(name, (error as Error).message);
    }
    return [`"${name}": ${text.trim().replace(/\s*\n\s*/g, " ")}`];
  });
  if (reduction !== "mean") members.push(`"reduction": "${reduction}"`);
  if (gradients.length) members.push(`"gradients": ${laidOut(gradients)}`);
  return `{${members.join(", ")}}`;
}

export function RequestForm({ loss, draft, onDraft, onReset, errors, busy, onSubmit, onFields }: {
  loss: Loss; draft: Draft; onDraft: (draft: Draft) => void; onReset: (draft: Draft) => void; errors: Fault[]; busy: boolean; onSubmit: () => void;
  onFields: (fields: Field[]) => void;
}) {
  const own = useMemo(() => ownFields(loss), [loss]);
  // The document that declares them is large, and most requests need none of them.
  const [wanted, want] = useState(false);
  const { given } = usePromise(() => (wanted ? sharedFields(loss) : Promise.resolve(NONE)), [loss, wanted]);
  const shared = given ?? NONE;
  useEffect(() => onFields([...own, ...shared]), [shared]);
  const names = new Set([...own, ...shared].map((field) => field.name));
  const byField = Map.groupBy(errors, ({ pointer }) => pointer.split("/")[1] ?? "");
  const rest = errors.filter(({ pointer }) => !names.has(pointer.split("/")[1] ?? ""));
  const folded = shared.some((field) => byField.has(field.name));
  useLayoutEffect(() => {
    const firstName = [...byField.keys()].find((name) => names.has(name));
    if (firstName) document.getElementById(`field-${firstName}`)?.focus();
  }, [errors]);
  const one = (field: Field) => (
    <Control key={field.name} field={field} text={draft.texts[field.name] ?? field.initial} faults={byField.get(field.name)}
      onText={(text) => onDraft({ ...draft, texts: { ...draft.texts, [field.name]: text } })} />
  );
  const roles = own.slice(0, loss.roles.length);
  const others = own.slice(loss.roles.length);
  return (
    <form class="request" noValidate onSubmit={(event) => { event.preventDefault(); onSubmit(); }}
      onKeyDown={(event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); onSubmit(); } }}>
      <div class="examples">
        {loss.examples.map((_, number) => (
          <button key={number} type="button" class="quiet" onClick={() => onReset(draftOf(loss, number))}>
            {loss.examples.length > 1 ? t("Example {number}", { number: number + 1 }) : t("Reset to the example")}
          </button>
        ))}
      </div>
      {roles.map(one)}
      {others.length > 0 && <div class="pair">{others.map(one)}</div>}
      <div class="pair">
        <Choices kind="radio" name="reduction" names={loss.reductions} chosen={[draft.reduction]} onChosen={([reduction = "mean"]) => onDraft({ ...draft, reduction })} />
        <Choices kind="checkbox" name="gradients" names={differentiable(loss)} chosen={draft.gradients} onChosen={(gradients) => onDraft({ ...draft, gradients })} />
      </div>
      <details open={folded || undefined} onToggle={(event) => event.currentTarget.open && want(true)}>
        <summary>{t("Weights, mask, precision …")}</summary>
        <div class="pair">{shared.map(one)}</div>
      </details>
      {rest.length > 0 && <p class="error summary" role="alert"><Faults all={rest} /></p>}
      <div class="actions">
        <button type="submit" class="compute" aria-busy={busy}>{t("Compute")}</button>
        <span class="hint">Ctrl + Enter</span>
      </div>
    </form>
  );
}

const Faults = ({ all }: { all: Fault[] }) => <>{all.map(({ said }, i) => <Fragment key={i}>{i > 0 && " "}{said}</Fragment>)}</>;

function Control({ field, text, faults = [], onText }: { field: Field; text: string; faults?: Fault[]; onText: (text: string) => void }) {
  const { name, schema, label, description } = field;
  const id = `field-${name}`;
  const about = { id, "aria-describedby": `hint-${name} error-${name}`, "aria-invalid": faults.length > 0 };
  const toggle = schema.type === "boolean";
  return (
    <div class={toggle ? "field toggle" : "field"}>
      <label for={id}><code>{name}</code>{label && <span class="kind">{label}</span>}</label>
      {toggle ? <input type="checkbox" {...about} checked={text === "true"} onChange={(event) => onText(String(event.currentTarget.checked))} />
        : schema.enum ? (
          <select {...about} value={text} onChange={(event) => onText(event.currentTarget.value)}>
            {schema.enum.map((value) => <option key={String(value)} value={JSON.stringify(value)}>{String(value)}</option>)}
          </select>
        ) : field.tensor ? (
          <textarea {...about} rows={Math.min(10, text.split("\n").length)} spellcheck={false} autocomplete="off" placeholder={label.includes(t("optional")) ? t("not given") : ""}
            value={text} onInput={(event) => onText(event.currentTarget.value)} />
        ) : <input type="text" inputMode="decimal" autocomplete="off" placeholder={t("not given")} {...about} value={text} onInput={(event) => onText(event.currentTarget.value)} />}
      <p class="error" id={`error-${name}`} role="alert" hidden={!faults.length}><Faults all={faults} /></p>
      <p class="hint" id={`hint-${name}`}><Line text={description} /></p>
    </div>
  );
}

function Choices({ kind, name, names, chosen, onChosen }: { kind: "radio" | "checkbox"; name: string; names: string[]; chosen: string[]; onChosen: (chosen: string[]) => void }) {
  const id = useId();
  return (
    <fieldset class="choices">
      <legend><code>{name}</code></legend>
      {names.map((value) => (
        <label key={value} for={`${id}${value}`}>
          <input id={`${id}${value}`} type={kind} name={name} value={value} checked={chosen.includes(value)}
            onChange={(event) => onChosen(kind === "radio" ? [value] : names.filter((one) => (one === value ? event.currentTarget.checked : chosen.includes(one))))} />
          <span>{value}</span>
        </label>
      ))}
    </fieldset>
  );
}

export function useDraft(loss: Loss): [Draft, (draft: Draft) => void] {
  const [draft, set] = useState(() => draftOf(loss, 0));
  return [draft, set];
}

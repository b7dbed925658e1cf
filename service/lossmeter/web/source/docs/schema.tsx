// What a body may hold: its fields, and what is inside each of them when it is opened.
import { useState } from "preact/hooks";
import { t } from "../strings";
import { type Document, insideOf, resolved, type Schema, typeOf, variantsOf } from "./document";
import { Description } from "./description";

export function Fields({ document, schema }: { document: Document; schema: Schema }) {
  const variants = variantsOf(document, schema);
  const inside = insideOf(document, schema);
  if (!inside && !variants.length) return <p class="hint"><code>{typeOf(document, schema)}</code></p>;
  if (!inside) return <>{variants.map((one, i) => <Nested key={i} title={resolved(document, one).title ?? t("one of {count}", { count: variants.length })} document={document} schema={one} />)}</>;
  const required = new Set(inside.required ?? []);
  return (
    <dl class="fields">
      {Object.entries(inside.properties ?? {}).map(([name, given]) => {
        const field = resolved(document, given);
        return (
          <div key={name}>
            <dt><code class="strong">{name}</code> <span class="kind"><code>{typeOf(document, given)}</code>{required.has(name) ? ` · ${t("required")}` : ""}{field.default === undefined || field.default === null ? "" : ` · ${t("else {value}", { value: JSON.stringify(field.default) })}`}</span></dt>
            <dd>
              {field.description && <Description text={field.description} />}
              {(insideOf(document, given) ?? variantsOf(document, given).length > 0) && <Nested title={t("Fields of {name}", { name })} document={document} schema={given} />}
            </dd>
          </div>
        );
      })}
    </dl>
  );
}

/** Drawn when it is opened: what is inside may be inside itself. */
export function Nested({ title, document, schema, open: start = false }: { title: string; document: Document; schema: Schema; open?: boolean }) {
  const [open, setOpen] = useState(start);
  return (
    <details class="nested" open={open} onToggle={(event) => { event.stopPropagation(); setOpen(event.currentTarget.open); }}>
      <summary>{title}</summary>
      {open && <Fields document={document} schema={schema} />}
    </details>
  );
}

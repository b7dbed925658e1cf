// The request of one loss as a form, derived from its catalogue entry and from the fields that all losses share.
import { element, line } from "./dom.js";

/** What a JSON Schema allows, in words. */
export function allowed(schema) {
  if (schema.anyOf) return schema.anyOf.map(allowed).join(" or ");
  const kinds = [schema.type].flat().map((kind) => ({ number: "a number", integer: "an integer" })[kind] ?? kind);
  const bounds = [
    ["above", schema.exclusiveMinimum], ["at least", schema.minimum],
    ["below", schema.exclusiveMaximum], ["at most", schema.maximum],
  ].filter(([, bound]) => bound !== undefined && Math.abs(bound) < 2 ** 63);
  return [kinds.join(" or "), ...bounds.map(([word, bound]) => `${word} ${bound}`)].join(", ");
}

/** Nested arrays as people write them: a row a line. */
export function laidOut(value, depth = 0) {
  if (!Array.isArray(value)) return JSON.stringify(value);
  if (!value.some(Array.isArray)) return `[${value.map((item) => JSON.stringify(item)).join(", ")}]`;
  return `[${value.map((item) => laidOut(item, depth + 1)).join(`,\n${" ".repeat(depth + 1)}`)}]`;
}

class Field {
  constructor(name, { control, label, hint, initial = "" }) {
    Object.assign(this, { name, control, initial });
    this.error = element("p", { class: "error", id: `error-${name}`, role: "alert", hidden: true });
    control.id = `field-${name}`;
    control.setAttribute("aria-describedby", `hint-${name} error-${name}`);
    this.node = element("div", { class: control.type === "checkbox" ? "field toggle" : "field" },
      element("label", { for: control.id }, element("code", {}, name), label && element("span", { class: "kind" }, label)),
      control,
      this.error,
      hint && element("p", { class: "hint", id: `hint-${name}` }, hint));
  }

  /** The JSON text to send; nothing where it is left as it was. */
  get text() {
    const { control } = this;
    const text = control.type === "checkbox" ? String(control.checked) : control.value.trim();
    const quoted = control.tagName === "SELECT" ? control.selectedOptions[0].dataset.json : text;
    return quoted === this.initial ? "" : quoted;
  }

  set text(value) {
    if (this.control.type === "checkbox") this.control.checked = value === "true";
    else if (this.control.tagName === "SELECT") this.control.value = JSON.parse(value);
    else this.control.value = value;
  }

  complain(message) {
    this.error.textContent = message;
    this.error.hidden = !message;
    this.control.setAttribute("aria-invalid", String(Boolean(message)));
    if (message) this.node.closest("details")?.setAttribute("open", "");
  }
}

function tensorField(name, { kind, shape, description, optional }) {
  const control = element("textarea", { rows: 1, spellcheck: "false", autocomplete: "off", placeholder: optional ? "not given" : "" });
  control.addEventListener("input", () => fit(control));
  return new Field(name, { control, label: [kind, shape].filter(Boolean).join(" "), hint: line(description) });
}

/** As many rows as there is text. */
function fit(control) {
  if (control.tagName === "TEXTAREA") control.rows = Math.min(10, control.value.split("\n").length);
}

function scalarField(name, schema, initial, description) {
  const given = initial === undefined || initial === null ? "" : JSON.stringify(initial);
  const nullable = schema.anyOf?.some((option) => option.type === "null");
  const start = initial === null && nullable ? "null" : given;
  if (schema.type === "boolean") {
    const control = element("input", { type: "checkbox", checked: initial === true });
    return new Field(name, { control, hint: line(description), initial: start });
  }
  if (schema.enum) {
    const options = schema.enum.map((value) => element("option", { value, "data-json": JSON.stringify(value), selected: value === initial }, String(value)));
    return new Field(name, { control: element("select", {}, options), hint: line(description), initial: start });
  }
  const control = element("input", { type: "text", inputmode: "decimal", value: start, placeholder: "not given", autocomplete: "off" });
  return new Field(name, { control, label: allowed(schema), hint: line(description), initial: start });
}

/** The form; `changed` is called after every change. */
export class RequestForm {
  constructor(entry, shared, { changed, submitted }) {
    this.entry = entry;
    const meaning = (role) => role.meaning.map((text) => text.split(":")[0]).join(" or ");
    const tensor = (role) => tensorField(role.name, {
      kind: meaning(role), shape: role.shape.join(" or "), description: role.description, optional: !role.required,
    });
    const roles = entry.roles.map(tensor);
    const tensors = entry.tensor_parameters.map(tensor);
    const scalars = entry.parameters.map((p) => scalarField(p.name, p.json_schema, p.default, p.description));
    const others = shared.map(({ name, tensor, schema }) => tensor
      ? tensorField(name, { kind: "", description: schema.description, optional: true })
      : scalarField(name, schema, schema.default, schema.description));
    this.fields = new Map([...roles, ...scalars, ...tensors, ...others].map((field) => [field.name, field]));
    this.reductions = choices("radio", "reduction", entry.reductions, ["mean"]);
    const differentiable = [...entry.roles, ...entry.tensor_parameters].filter((role) => role.differentiable);
    this.gradients = choices("checkbox", "gradients", differentiable.map((role) => role.name), []);
    this.summary = element("p", { class: "error summary", role: "alert", hidden: true });
    this.submit = element("button", { type: "submit", class: "compute" }, "Compute");
    const nodes = (fields) => fields.map((field) => field.node);
    this.node = element("form", { novalidate: true, class: "request", input: changed, submit: (event) => { event.preventDefault(); submitted(); } },
      this.examples(changed),
      nodes(roles),
      scalars.length + tensors.length > 0 && element("div", { class: "pair" }, nodes([...scalars, ...tensors])) || null,
      element("div", { class: "pair" }, this.reductions.node, this.gradients.node),
      element("details", {}, element("summary", {}, "Weights, mask, precision …"), element("div", { class: "pair" }, nodes(others))),
      this.summary,
      element("div", { class: "actions" }, this.submit, element("span", { class: "hint" }, "Ctrl + Enter")));
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      submitted();
    });
  }

  examples(changed) {
    const buttons = this.entry.examples.map((example, number) => element("button", {
      type: "button", class: "quiet", click: () => { this.fill(number); changed(); },
    }, this.entry.examples.length > 1 ? `Example ${number + 1}` : "Reset to the example"));
    return element("div", { class: "examples" }, buttons);
  }

  /** Puts an example into the fields. */
  fill(number) {
    const { request } = this.entry.examples[number];
    this.complain([]);
    for (const field of this.fields.values()) {
      const value = request[field.name];
      field.text = value !== undefined ? laidOut(value) : field.initial;
      fit(field.control);
    }
    this.reductions.chosen = [request.reduction ?? "mean"];
    this.gradients.chosen = request.gradients ?? this.gradients.names.slice(0, 1);
  }

  /** The body as JSON text, in the words of whoever filled the form. Throws the first field that is not JSON. */
  body() {
    const members = [];
    for (const field of this.fields.values()) {
      if (!field.text) continue;
      try {
        JSON.parse(field.text);
      } catch (error) {
        throw Object.assign(new Error(`not JSON: ${error.message}`), { field: field.name });
      }
      members.push(`"${field.name}": ${field.text.replace(/\s*\n\s*/g, " ")}`);
    }
    const [reduction] = this.reductions.chosen;
    if (reduction !== "mean") members.push(`"reduction": "${reduction}"`);
    if (this.gradients.chosen.length) members.push(`"gradients": ${laidOut(this.gradients.chosen)}`);
    return `{${members.join(", ")}}`;
  }

  /** Shows each error beside the field that its pointer names, and the rest above the button. */
  complain(errors) {
    const rest = [];
    const byField = new Map();
    for (const { pointer, message } of errors) {
      const name = pointer.split("/")[1] ?? "";
      if (this.fields.has(name)) byField.set(name, [...(byField.get(name) ?? []), message]);
      else rest.push(message);
    }
    for (const [name, field] of this.fields) field.complain((byField.get(name) ?? []).join(" "));
    this.summary.textContent = rest.join(" ");
    this.summary.hidden = rest.length === 0;
    this.fields.get([...byField.keys()][0])?.control.focus();
  }
}

/** A row of radio buttons or check boxes. */
function choices(type, name, names, chosen) {
  const inputs = names.map((value) => element("input", { type, name, value, checked: chosen.includes(value) }));
  const node = element("fieldset", { class: "choices" },
    element("legend", {}, element("code", {}, name)),
    inputs.map((input) => element("label", {}, input, element("span", {}, input.value))));
  return {
    node,
    names,
    get chosen() { return inputs.filter((input) => input.checked).map((input) => input.value); },
    set chosen(values) { for (const input of inputs) input.checked = values.includes(input.value); },
  };
}

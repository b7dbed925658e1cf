// A request that can be filled in, sent, and copied as a program.
import { useId, useState } from "preact/hooks";
import { Check, Code } from "../controls";
import { Programs } from "../same";
import { address, exchanged, giveKey, hasKey } from "../service";
import { t } from "../strings";
import { exampleOf, laidOut, type Operation, type Parameter } from "./document";

const SHOWN = 20_000;

export function Attempt({ operation, parameters }: { operation: Operation; parameters: Parameter[] }) {
  const places = parameters.filter((one) => one.in !== "header");
  const [values, setValues] = useState<Record<string, string>>(() => Object.fromEntries(places.map((one) => [one.name, one.in === "path" ? String(one.example ?? "") : ""])));
  const [body, setBody] = useState(() => exampleOf(operation));
  const [key, setKey] = useState("");
  const [answer, setAnswer] = useState<{ status: number; text: string; took: number }>();
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const [sure, setSure] = useState(false);
  const id = useId();
  const query = new URLSearchParams(places.filter((one) => one.in === "query" && values[one.name]).map((one) => [one.name, values[one.name] as string])).toString();
  const filled = operation.path.replace(/\{(\w+)\}/g, (whole, name: string) => (values[name] ? encodeURIComponent(values[name]) : whole));
  const path = `${filled.slice(1)}${query ? `?${query}` : ""}`;
  const open = /\{/.test(filled);
  const destroys = operation.method === "DELETE";
  async function send(event: Event) {
    event.preventDefault();
    if (key.trim()) giveKey(key.trim());
    setBusy(true);
    try {
      const begun = performance.now();
      const response = await exchanged(operation.method, path, body);
      const text = await response.text();
      setAnswer({ status: response.status, text, took: performance.now() - begun });
      setError("");
    } catch (reason) {
      setError((reason as Error).message);
    } finally {
      setBusy(false);
    }
  }
  return (
    <section class="card attempt" aria-label={t("Try it")}>
      <h2>{t("Try it")}</h2>
      <form class="request" noValidate onSubmit={send}>
        {places.map((one) => (
          <div class="field" key={one.name}>
            <label for={`${id}-${one.name}`}><code>{one.name}</code> {!one.required && <span class="hint">{t("optional")}</span>}</label>
            <input id={`${id}-${one.name}`} type="text" autocomplete="off" spellcheck={false} value={values[one.name]} onInput={(event) => setValues({ ...values, [one.name]: event.currentTarget.value })} />
          </div>
        ))}
        {body !== undefined && (
          <div class="field">
            <label for={`${id}-body`}>{t("Body")}</label>
            <textarea id={`${id}-body`} rows={Math.min(16, body.split("\n").length + 1)} spellcheck={false} value={body} onInput={(event) => setBody(event.currentTarget.value)} />
          </div>
        )}
        <div class="field">
          <label for={`${id}-key`}>{t("Key")} <span class="hint">{hasKey() ? t("one is kept until the tab is closed") : t("optional")}</span></label>
          <input id={`${id}-key`} type="password" autocomplete="off" spellcheck={false} placeholder={hasKey() ? "••••••" : "lm_…"} value={key} onInput={(event) => setKey(event.currentTarget.value)} />
        </div>
        {destroys && <Check label={t("It cannot be brought back")} checked={sure} onChecked={setSure} />}
        <div class="actions"><button type="submit" class="compute" aria-busy={busy} disabled={open || (destroys && !sure)}>{t("Send")}</button></div>
      </form>
      {error && <p class="error" role="alert">{error}</p>}
      <div role="status">{answer && <Given {...answer} />}</div>
      <Programs method={operation.method} url={address(path)} body={body} />
    </section>
  );
}

function Given({ status, text, took }: { status: number; text: string; took: number }) {
  let shown = text;
  try {
    shown = laidOut(JSON.parse(text));
  } catch {
    // What is no JSON is shown as it came.
  }
  return (
    <>
      <p><span class={status < 400 ? "badge status-fine" : "badge status-wrong"}>{status}</span> <span class="kind">{Math.round(took)} ms</span></p>
      {shown && <div class="program"><Code text={shown.length > SHOWN ? `${shown.slice(0, SHOWN)} …` : shown} whole={shown} /></div>}
    </>
  );
}

// Keys, for whoever holds one with the scope `admin`: what is known of each, a new one, and an end to one.
import { useEffect, useRef, useState } from "preact/hooks";
import { Check, CopyButton } from "../controls";
import { byField, flawsOf, type Told } from "../flaws";
import { short } from "../numbers";
import { when } from "../runs/list";
import { call, exchanged, hasKey, keyId, Refused, wantKey } from "../service";
import { t } from "../strings";

interface Key {
  id: string;
  name: string;
  state: "good" | "expired" | "revoked";
  scopes: string[];
  created: string;
  expires: string | null;
  requests_per_second: number | null;
  burst: number | null;
}

const PATH = "v1/keys";
const SCOPES = ["evaluate", "runs:read", "runs:write", "admin"];
const DAY_MS = 86_400_000;

/** The keys, where the one in use may manage them; without one, which this machine may need none of, a way to give one. */
export function Keys() {
  const [keys, setKeys] = useState<Key[]>();
  const [asks, setAsks] = useState(!hasKey());
  const [note, setNote] = useState("");
  const [error, setError] = useState("");
  async function load(wanted: boolean) {
    const response = await exchanged("GET", PATH);
    const given = await response.json();
    if (response.ok) setKeys(given.keys);
    setError(response.ok || !keys ? "" : given.detail);
    if (keys) return; // What is shown stays, whatever comes of a later reading: among it may be a token that is shown once.
    setAsks(response.status === 401);
    if (wanted && response.status === 401) wantKey(given.detail);
    else if (wanted && !response.ok) setNote(given.detail);
  }
  const reload = () => load(true).catch((reason: Error) => setError(reason.message));
  useEffect(() => {
    // If it does not answer, the page itself says so.
    if (hasKey()) load(false).catch(() => {});
  }, []);
  if (asks) {
    return (
      <div class="row">
        <button type="button" class="quiet" onClick={reload}>{t("Manage keys")}</button>
        {error && <p class="error" role="alert">{error}</p>}
      </div>
    );
  }
  if (!keys) return note ? <p class="note" role="status">{note}</p> : null;
  const states = { good: t("good"), expired: t("expired"), revoked: t("revoked") };
  return (
    <section class="card" aria-label={t("Keys")}>
      <h2>{t("Keys")}</h2>
      {error && <p class="error" role="alert">{error}</p>}
      <div class="scroll" tabIndex={0}>
        <table class="figures">
          <thead><tr><th scope="col">{t("Name")}</th><th scope="col">{t("id")}</th><th scope="col">{t("State")}</th><th scope="col">{t("Scopes")}</th><th scope="col">{t("Created")}</th><th scope="col">{t("Expires")}</th><th scope="col">{t("Requests in a second")}</th><td /></tr></thead>
          <tbody>
            {keys.map((key) => (
              <tr key={key.id} data-key={key.id}>
                <th scope="row"><bdi>{key.name}</bdi></th><td><code>{key.id}</code>{key.id === keyId() && ` (${t("this key")})`}</td><td>{states[key.state]}</td><td><code>{key.scopes.join(" ")}</code></td>
                <td>{when(key.created)}</td><td>{key.expires ? when(key.expires) : "–"}</td><td>{short(key.requests_per_second)}</td>
                <td>{key.state !== "revoked" && <Revoke of={key} onRevoked={reload} onError={setError} />}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <NewKey onMade={reload} />
    </section>
  );
}

function Revoke({ of: key, onRevoked, onError }: { of: Key; onRevoked: () => void; onError: (text: string) => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = `revoke-${key.id}`;
  async function revoke() {
    dialog.current?.close();
    await call("DELETE", `${PATH}/${key.id}`).then(onRevoked, (reason: Error) => onError(reason.message));
  }
  return (
    <>
      <button type="button" class="quiet danger" aria-label={t("Revoke {name}", { name: key.name })} onClick={() => dialog.current?.showModal()}>{t("Revoke")}</button>
      <dialog ref={dialog} aria-labelledby={id}>
        <div id={id}>
          <p>{t("Revoke the key {name} ({id})? Whoever uses it is refused from now on, and it cannot be brought back.", { name: key.name, id: key.id })}</p>
          {key.id === keyId() && <p class="error">{t("This page uses this key, and cannot go on without another one.")}</p>}
        </div>
        <div class="row">
          <button type="button" class="quiet danger" onClick={revoke}>{t("Revoke")}</button>
          <button type="button" class="quiet" onClick={() => dialog.current?.close()}>{t("Keep it")}</button>
        </div>
      </dialog>
    </>
  );
}

function NewKey({ onMade }: { onMade: () => void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<string[]>(["evaluate"]);
  const [days, setDays] = useState("");
  const [rate, setRate] = useState("");
  const [made, setMade] = useState<{ key: Key; token: string }>();
  const [flaws, setFlaws] = useState<Told[]>([]);
  const [busy, setBusy] = useState(false);
  async function make(event: Event) {
    event.preventDefault();
    // What is no number has no value, and must not pass for a field that was left empty.
    const numbers = [...(event.currentTarget as HTMLFormElement).querySelectorAll<HTMLInputElement>("input[type=number]")];
    const bad = numbers.filter((one) => one.validity.badInput);
    if (bad.length) {
      setFlaws(bad.map((one) => ({ pointer: one.id.replace("key-", "/"), message: t("This is not a number.") })));
      return;
    }
    setBusy(true);
    try {
      const expires = days ? { expires: new Date(Date.now() + Number(days) * DAY_MS).toISOString() } : {};
      const body = { name, scopes, ...expires, ...(rate ? { requests_per_second: Number(rate) } : {}) };
      const { given } = await call<{ key: Key; token: string }>("POST", PATH, JSON.stringify(body));
      setMade(given);
      setFlaws([]);
      setName("");
      onMade();
    } catch (reason) {
      // What is no date, or too late a one, is found here; all else by the service.
      if (reason instanceof RangeError) setFlaws([{ pointer: "/expires", message: reason.message }]);
      else if (reason instanceof Refused) setFlaws(flawsOf(reason));
      else throw reason;
    } finally {
      setBusy(false);
    }
  }
  const { told, rest } = byField(flaws, ["name", "expires", "requests_per_second"]);
  const field = (part: string, label: string, value: string, onValue: (value: string) => void, number = true) => {
    const id = `key-${part}`;
    const given = { id, value, "aria-invalid": Boolean(told(part)), "aria-describedby": told(part) ? `${id}-error` : undefined, onInput: (event: Event) => onValue((event.currentTarget as HTMLInputElement).value) };
    return (
      <div class="field">
        <label for={id}>{label}</label>
        {number ? <input type="number" min={0} step="any" {...given} /> : <input type="text" autocomplete="off" {...given} />}
        {told(part) && <p class="error" role="alert" id={`${id}-error`}>{told(part)}</p>}
      </div>
    );
  };
  return (
    <form class="request" aria-label={t("New key")} noValidate onSubmit={make}>
      <h3>{t("New key")}</h3>
      <div class="pair">
        {field("name", t("Name"), name, setName, false)}
        {field("expires", t("Days until it expires (optional)"), days, setDays)}
        {field("requests_per_second", t("Requests in a second (optional)"), rate, setRate)}
      </div>
      <fieldset>
        <legend>{t("Scopes")}</legend>
        <div class="row">{SCOPES.map((one) => <Check key={one} label={<code>{one}</code>} checked={scopes.includes(one)} onChecked={(on) => setScopes(SCOPES.filter((other) => (other === one ? on : scopes.includes(other))))} />)}</div>
      </fieldset>
      {rest && <p class="error" role="alert">{rest}</p>}
      <div class="actions"><button type="submit" class="compute" aria-busy={busy}>{t("Make the key")}</button></div>
      <div role="status">
        {made && (
          <div class="note">
            <p>{t("The token of {name} is shown this once, and kept nowhere:", { name: made.key.name })}</p>
            <p class="row"><code id="token" class="token">{made.token}</code><CopyButton text={() => made.token} /><button type="button" class="quiet" onClick={() => setMade(undefined)}>{t("Hide it")}</button></p>
          </div>
        )}
      </div>
    </form>
  );
}

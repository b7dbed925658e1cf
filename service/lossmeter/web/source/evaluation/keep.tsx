// An evaluation kept as a run: it stays in the service, under an address, and can be compared with others.
import { useState } from "preact/hooks";
import { Failure } from "../refusal";
import { call, Refused } from "../service";
import { gap, t } from "../strings";
import type { Request } from "./request";

export function Keep({ request }: { request: Request }) {
  const [name, setName] = useState("");
  const [tags, setTags] = useState("");
  const [kept, setKept] = useState<string>();
  const [error, setError] = useState<Refused>();
  async function keep(event: Event) {
    event.preventDefault();
    const { groups, ...data } = request.data;
    const body = { ...request.plan, name, tags: tags.split(",").map((one) => one.trim()).filter(Boolean), slices: Object.keys(request.slices) };
    try {
      const { given } = await call<{ id: string }>("POST", "v1/runs", JSON.stringify(body));
      await call("PUT", `v1/runs/${given.id}/batches/0`, JSON.stringify({ ...data, ...(groups ? { groups } : {}), ...(body.slices.length ? { slices: request.slices } : {}) }));
      await call("POST", `v1/runs/${given.id}/close`);
      setKept(given.id);
      setError(undefined);
    } catch (reason) {
      if (!(reason instanceof Refused)) throw reason;
      setError(reason);
    }
  }
  if (kept) return <p class="note" role="status">{t("Kept as a run:")}{gap}<a href={`#/runs/${kept}`}>{name || kept}</a></p>;
  return (
    <form class="card keep" aria-label={t("Keep as a run")} onSubmit={keep}>
      <h2>{t("Keep as a run")}</h2>
      <p class="hint">{t("It stays in the service under an address of its own, and can be compared with others.")}</p>
      <div class="pair">
        <div class="field"><label for="run-name">{t("Name")}</label><input id="run-name" type="text" maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} /></div>
        <div class="field"><label for="run-tags">{t("Tags, separated by commas")}</label><input id="run-tags" type="text" value={tags} onInput={(event) => setTags(event.currentTarget.value)} /></div>
      </div>
      {error && <Failure error={error} />}
      <div class="actions"><button type="submit" class="compute">{t("Keep")}</button></div>
    </form>
  );
}

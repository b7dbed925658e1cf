// The name and the tags of a run, changed in a dialog.
import { useRef, useState } from "preact/hooks";
import { byField, flawsOf, type Told } from "../flaws";
import type { Run } from "../report/types";
import { call, Refused } from "../service";
import { t } from "../strings";

/** Tags may hold commas, so that each has a line of its own. */
const written = (tags: string[]) => tags.join("\n");
const read = (text: string) => text.split("\n").map((one) => one.trim()).filter(Boolean);

export function Edit({ run, onEdited }: { run: Run; onEdited: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [before, setBefore] = useState({ name: "", tags: "" });
  const [name, setName] = useState("");
  const [tags, setTags] = useState("");
  const [flaws, setFlaws] = useState<Told[]>([]);
  const [busy, setBusy] = useState(false);
  const { told, rest } = byField(flaws, ["name", "tags"]);
  function open() {
    const now = { name: run.name, tags: written(run.tags) };
    setBefore(now);
    setName(now.name);
    setTags(now.tags);
    setFlaws([]);
    dialog.current?.showModal();
  }
  async function submit(event: Event) {
    event.preventDefault();
    setBusy(true);
    try {
      // What was not touched is left out: somebody else may have changed it meanwhile.
      const patch = { ...(name === before.name ? {} : { name }), ...(tags === before.tags ? {} : { tags: read(tags) }) };
      await call("PATCH", `v1/runs/${run.id}`, JSON.stringify(patch));
      dialog.current?.close();
      onEdited();
    } catch (reason) {
      if (!(reason instanceof Refused)) throw reason;
      setFlaws(flawsOf(reason));
    } finally {
      setBusy(false);
    }
  }
  const shown = (id: string, part: string) => told(part) && <p class="error" role="alert" id={id}>{told(part)}</p>;
  return (
    <>
      <button type="button" class="quiet" onClick={open}>{t("Edit name and tags")}</button>
      <dialog ref={dialog} aria-labelledby="edit-title">
        <form class="request" noValidate onSubmit={submit}>
          <h2 id="edit-title">{t("Edit name and tags")}</h2>
          <div class="field">
            <label for="edit-name">{t("Name")}</label>
            <input id="edit-name" type="text" autocomplete="off" value={name} aria-invalid={Boolean(told("name"))} aria-describedby={told("name") ? "edit-name-error" : undefined} onInput={(event) => setName(event.currentTarget.value)} />
            {shown("edit-name-error", "name")}
          </div>
          <div class="field">
            <label for="edit-tags">{t("Tags, one in a line")}</label>
            <textarea id="edit-tags" rows={4} spellcheck={false} value={tags} aria-invalid={Boolean(told("tags"))} aria-describedby={told("tags") ? "edit-tags-error" : undefined} onInput={(event) => setTags(event.currentTarget.value)} />
            {shown("edit-tags-error", "tags")}
          </div>
          {rest && <p class="error" role="alert">{rest}</p>}
          <div class="actions">
            <button type="submit" class="compute" aria-busy={busy}>{t("Save")}</button>
            <button type="button" class="quiet" onClick={() => dialog.current?.close()}>{t("Cancel")}</button>
          </div>
        </form>
      </dialog>
    </>
  );
}

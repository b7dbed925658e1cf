// The request at hand as a command or a program, in the language of whoever wants it.
import { useState } from "preact/hooks";
import { Code, save, Segments } from "./controls";
import { FILE, isLong, LANGUAGES, program, type Target } from "./programs";
import { address } from "./service";
import { t } from "./strings";

export function SameRequest({ path, written, open: start = false }: { path: string; written: () => string; open?: boolean }) {
  const [open, setOpen] = useState(start);
  return (
    <details class="listing" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t("The same request as a program")}</summary>
      {open && <Programs method="POST" url={address(path)} body={written()} />}
    </details>
  );
}

export function Programs({ method, url, body }: { method: string; url: string; body?: string }) {
  const [target, setTarget] = useState<Target>("curl");
  return (
    <>
      <div class="row"><Segments label={t("Language")} value={target} options={LANGUAGES.map((one) => [one, one])} onValue={setTarget} />
        {body !== undefined && isLong(body) && <button type="button" class="quiet" onClick={() => save(FILE, "application/json", body)}>{t("Save {file}", { file: FILE })}</button>}
      </div>
      <div class="program"><Code text={program(target, method, url, body)} /></div>
    </>
  );
}

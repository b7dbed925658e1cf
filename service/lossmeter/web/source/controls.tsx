// Controls that several pages share.
import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import { atStep, short } from "./numbers";
import { t } from "./strings";

/** A number that is dragged, or typed beside. */
export function Slider({ label, value, minimum, maximum, step, onValue, disabled, children }: {
  label: ComponentChildren; value: number; minimum: number; maximum: number; step: number; onValue: (value: number) => void;
  disabled?: boolean; children?: ComponentChildren;
}) {
  const id = useId();
  const take = (event: Event) => {
    const text = (event.currentTarget as HTMLInputElement).value;
    const number = Number(text);
    if (text.trim() && Number.isFinite(number)) onValue(atStep(number, step / 10));
  };
  return (
    <div class="slider">
      <label for={id}>{label}</label>
      {children}
      <input class="number" type="number" aria-labelledby={`${id}-name`} step="any" value={value} disabled={disabled} onChange={take} />
      <span class="hidden" id={`${id}-name`}>{label} {t("as a number")}</span>
      <input id={id} type="range" min={minimum} max={maximum} step={step} value={Math.min(maximum, Math.max(minimum, value))}
        aria-valuetext={short(value)} disabled={disabled} onInput={take} />
    </div>
  );
}

export function Select({ label, value, options, onValue }: {
  label: ComponentChildren; value: string; options: (string | [string, string])[]; onValue: (value: string) => void;
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onValue(event.currentTarget.value)}>
        {options.map((option) => {
          const [name, text] = typeof option === "string" ? [option, option] : option;
          return <option key={name} value={name}>{text}</option>;
        })}
      </select>
    </div>
  );
}

export function Check({ label, checked, onChecked }: { label: ComponentChildren; checked: boolean; onChecked: (checked: boolean) => void }) {
  return (
    <label class="check">
      <input type="checkbox" checked={checked} onChange={(event) => onChecked(event.currentTarget.checked)} />
      <span>{label}</span>
    </label>
  );
}

/** Buttons of which one is pressed. */
export function Segments<T extends string>({ label, value, options, onValue }: {
  label: string; value: T; options: [T, string][]; onValue: (value: T) => void;
}) {
  return (
    <div class="segments" role="group" aria-label={label}>
      {options.map(([name, text]) => (
        <button key={name} type="button" aria-pressed={name === value} onClick={() => onValue(name)}>{text}</button>
      ))}
    </div>
  );
}

export function CopyButton({ text, label }: { text: () => string; label?: string }) {
  const [said, say] = useState("");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text());
      say(t("Copied"));
    } catch {
      say(t("Select and copy by hand"));
    }
    setTimeout(() => say(""), 1500);
  }
  return <button type="button" class="quiet" onClick={copy}>{said || label || t("Copy")}</button>;
}

const CHARACTERS = 20000;

/** JSON or a command, to be copied. */
export function Listing({ title, text, open = false }: { title: string; text: string; open?: boolean }) {
  const shown = text.length > CHARACTERS ? `${text.slice(0, CHARACTERS)} …` : text;
  return (
    <details class="listing" open={open}>
      <summary>{title}</summary>
      <Code text={shown} whole={text} />
    </details>
  );
}

export function Code({ text, whole = text }: { text: string; whole?: string }) {
  return (
    <div class="code">
      <CopyButton text={() => whole} />
      <pre tabIndex={0}><code>{text}</code></pre>
    </div>
  );
}

/** Gives a file to the person at the browser. */
export function save(name: string, type: string, content: string | Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

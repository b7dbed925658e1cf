// The losses at the side: by family, or by how well they answer to what is searched.
import { useEffect, useRef, useState } from "preact/hooks";
import { Name } from "../prose";
import type { Loss } from "../service";
import { t } from "../strings";
import { worded } from "../words";

const plain = (text: string) => text.toLowerCase().replace(/[^a-z0-9±]+/g, "");

/** How well a loss answers to a search, by all its names first; 0 for not at all. */
export function rank(loss: Loss, search: string): number {
  // The path of a module in front of a name says nothing more.
  const wanted = plain(search.replace(/^(\w+\.)+(?=\w)/, ""));
  if (!wanted) return 1;
  const torch = loss.source.match(/torch\.[\w.]*\w/g) ?? [];
  const names = [loss.name, ...loss.aliases, ...torch.flatMap((path) => [path, path.split(".").at(-1) ?? ""])].map(plain);
  if (names.includes(wanted)) return 5;
  if (names.some((name) => name === `${wanted}loss` || `${name}loss` === wanted)) return 4.5;
  if (names.some((name) => name.startsWith(wanted))) return 4;
  if (names.some((name) => name.includes(wanted))) return 3;
  const text = [loss.name.replaceAll("_", " "), loss.aliases.join(" "), loss.family, worded("family", loss.family), loss.summary, loss.use_when].join(" ").toLowerCase();
  return search.toLowerCase().split(/\s+/).filter(Boolean).every((word) => text.includes(word)) ? 2 : 0;
}

export function LossList({ losses, current, open, onOpen }: { losses: Loss[]; current: string; open: boolean; onOpen: () => void }) {
  const [search, setSearch] = useState("");
  const input = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      if (event.key !== "/" || (event.target as Element).closest("input, textarea, select")) return;
      event.preventDefault();
      onOpen();
      setTimeout(() => input.current?.focus());
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, []);
  const ranked = losses.map((loss) => ({ loss, by: rank(loss, search) })).filter(({ by }) => by > 0);
  const groups: [string, Loss[]][] = search.trim()
    ? [["", ranked.sort((a, b) => b.by - a.by).map(({ loss }) => loss)]]
    : [...Map.groupBy(losses, (loss) => loss.family)];
  function key(event: KeyboardEvent) {
    const first = list.current?.querySelector("a");
    if (event.key === "Enter" && first) location.hash = first.hash;
    else if (event.key === "ArrowDown") first?.focus();
    else return;
    event.preventDefault();
  }
  function move(event: KeyboardEvent) {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const links = [...(list.current?.querySelectorAll("a") ?? [])];
    const next = links[links.indexOf(document.activeElement as HTMLAnchorElement) + (event.key === "ArrowDown" ? 1 : -1)];
    (next ?? input.current)?.focus();
    event.preventDefault();
  }
  return (
    <nav id="catalogue" class={open ? "open" : ""} aria-label={t("Losses")}>
      <input id="search" ref={input} type="search" placeholder={t("Search")} aria-label={t("Search the losses, by any name")} autocomplete="off" spellcheck={false}
        value={search} onInput={(event) => setSearch(event.currentTarget.value)} onKeyDown={key} />
      <a class="choose" href="#/choose">{t("Help me choose")}</a>
      <div id="families" ref={list} onKeyDown={move}>
        {ranked.length === 0 && <p class="hint">{t("No loss is like that.")}</p>}
        {ranked.length > 0 && groups.map(([family, members]) => (
          <section key={family}>
            {family && <h2>{worded("family", family)}</h2>}
            <ul>
              {members.map((loss) => (
                <li key={loss.name}><a href={`#/${loss.name}`} aria-current={loss.name === current ? "page" : undefined} title={loss.summary}><Name name={loss.name} /></a></li>
              ))}
            </ul>
          </section>
        ))}
      </div>
    </nav>
  );
}

// Which loss to take: what is predicted, what is known of the data, and words; the losses that fit, best first, with the reason.
import { useEffect } from "preact/hooks";
import { href } from "../address";
import { Select } from "../controls";
import { document_, resolved, type Schema } from "../docs/document";
import { Line, Name, sentence, usePromise } from "../prose";
import { Failure } from "../refusal";
import { call, type Loss } from "../service";
import { gap, t } from "../strings";
import { brief, worded } from "../words";

interface Chosen extends Loss {
  choice?: { reason: string; tasks: string[]; suits: string[]; matched: { part: string; text: string }[] };
}

/** The words of a parameter, each with what is said of it: by its description, in English. */
function wordsOf(of: "task" | "situation", schema: Schema | undefined): [string, string][] {
  const said = new Map([...(schema?.description ?? "").matchAll(/^- `(\w+)`: (.*)$/gm)].map(([, word, text]) => [word, text] as const));
  return (schema?.enum ?? []).map((word) => [String(word), worded(of, String(word), said.get(String(word)))]);
}

async function asked(query: URLSearchParams): Promise<Chosen[]> {
  return (await call<{ losses: Chosen[] }>("GET", `v1/losses?${query}`)).given.losses;
}

export default function ChoosePage({ query }: { query: URLSearchParams }) {
  const [task, situation, text] = ["task", "situation", "query"].map((name) => query.get(name) ?? "") as [string, string, string];
  const { given: api, error } = usePromise(document_, []);
  useEffect(() => {
    document.title = `${t("Help me choose")} · lossmeter`;
  }, []);
  const parameters = api?.paths["/v1/losses"]?.get?.parameters ?? [];
  const schema = (name: string) => {
    const found = parameters.find((one) => one.name === name)?.schema;
    return api && found ? resolved(api, found) : undefined;
  };
  const within = usePromise(async () => (task ? [...new Set((await asked(new URLSearchParams({ task }))).flatMap((one) => one.choice?.suits ?? []))] : undefined), [task]).given;
  const wished = new URLSearchParams([["task", task], ["situation", situation], ["query", text]].filter(([, value]) => value) as [string, string][]).toString();
  const { given: found, error: refused } = usePromise(async () => (wished ? asked(new URLSearchParams(wished)) : undefined), [wished]);
  const go = (name: string, value: string) => {
    const next = new URLSearchParams(wished);
    if (value) next.set(name, value);
    else next.delete(name);
    if (name === "task") next.delete("situation");
    location.hash = href(["choose"], next);
  };
  const situations = wordsOf("situation", schema("situation")).filter(([word]) => !within || within.includes(word));
  const failed = error ?? refused;
  return (
    <main id="main" class="page wide" tabIndex={-1} aria-busy={!api && !error}>
      <h1>{t("Help me choose")}</h1>
      {failed && <Failure error={failed} />}
      {api && (
        <section class="card" aria-label={t("Help me choose")}>
          <div class="pair">
            <Select label={t("What is predicted?")} value={task} options={[["", t("anything")], ...wordsOf("task", schema("task"))]} onValue={(value) => go("task", value)} />
            <Select label={t("What is known of the data, or wanted?")} value={situation} options={[["", t("nothing yet")], ...situations]} onValue={(value) => go("situation", value)} />
          </div>
          <form class="field" onSubmit={(event) => { event.preventDefault(); go("query", String(new FormData(event.currentTarget).get("query") ?? "").trim()); }}>
            <label for="choose-words">{t("In your own words, or by a name that you know")}</label>
            <div class="row filters"><input id="choose-words" name="query" type="search" maxLength={200} placeholder="CrossEntropyLoss" defaultValue={text} /><button type="submit" class="quiet">{t("Search")}</button></div>
          </form>
        </section>
      )}
      <p class="hint" role="status">{found ? (found.length ? t("{count} losses, the best first", { count: found.length }) : t("No loss is like that.")) : ""}</p>
      {found && found.length > 0 && (
        <ol class="choices-found">
          {found.map((loss) => (
            <li key={loss.name} class="card">
              <h2><a href={href([loss.name])}><Name name={loss.name} /></a></h2>
              <p><Line text={loss.summary} /></p>
              {loss.choice && <p><strong>{t("Why:")}</strong>{gap}<Line text={sentence(loss.choice.reason)} /></p>}
              {loss.choice && <p class="row">{loss.choice.suits.map((word) => <a key={word} class="chip" href={href(["choose"], new URLSearchParams({ ...(task ? { task } : {}), situation: word }))}>{brief("situation", word)}</a>)}</p>}
            </li>
          ))}
      </ol>
      )}
    </main>
  );
}

// The console: losses to look at and to compute, models to judge, and what was judged before.
import { render } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { usePlace } from "./address";
import { EvaluationPage } from "./evaluation/page";
import { LossList } from "./losses/list";
import { LossPage } from "./losses/page";
import { usePromise } from "./prose";
import { OperationsPage } from "./operations/page";
import { ComparePage } from "./runs/compare";
import { RunsPage } from "./runs/list";
import { RunPage } from "./runs/run";
import { Failure } from "./refusal";
import { giveKey, losses, onKeyWanted } from "./service";
import { language, speak, t } from "./strings";
import "./console.css";

const START = "focal";
const PAGES = new Set(["evaluate", "runs", "compare", "service", "docs", "choose"]);

function App() {
  const { path, query } = usePlace();
  const [reason, setReason] = useState<string | null>(null);
  const [keys, setKeys] = useState(0);
  const [open, setOpen] = useState(false);
  useEffect(() => onKeyWanted(setReason), []);
  useLayoutEffect(() => {
    setOpen(false);
    scrollTo(0, 0);
  }, [path.join("/")]);
  const page = path[0] ?? "";
  const losing = !PAGES.has(page);
  const atLosses = losing || page === "choose";
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>{t("Skip to the content")}</a>
      <header class="top">
        <a class="brand" href="#/"><img src="static/favicon.svg" alt="" width="22" height="22" />lossmeter</a>
        <nav class="pages" aria-label={t("Pages")}>
          <a href="#/" aria-current={atLosses ? "page" : undefined}>{t("Losses")}</a>
          <a href="#/evaluate" aria-current={page === "evaluate" ? "page" : undefined}>{t("Evaluate")}</a>
          <a href="#/runs" aria-current={page === "runs" || page === "compare" ? "page" : undefined}>{t("Runs")}</a>
          <a href="#/docs" aria-current={page === "docs" ? "page" : undefined}>{t("Documentation")}</a>
          <a href="#/service" aria-current={page === "service" ? "page" : undefined}>{t("Service")}</a>
        </nav>
        {losing && <button class="menu" type="button" aria-expanded={open} aria-controls="catalogue" onClick={() => setOpen(!open)}>{t("All losses")}</button>}
        <div class="links">
          <button type="button" class="quiet" lang={language === "zh" ? "en" : "zh"} onClick={() => speak(language === "zh" ? "en" : "zh")}>{language === "zh" ? "English" : "中文"}</button>
        </div>
      </header>
      {reason !== null ? <KeyForm reason={reason} onGiven={() => { setReason(null); setKeys(keys + 1); }} />
        : losing ? <Losses key={keys} name={page} open={open} onOpen={() => setOpen(true)} />
          : page === "choose" ? <Choose key={keys} query={query} />
            : page === "docs" ? <Documents key={keys} path={path} query={query} />
              : <Page key={`${keys} ${path.join("/")}`} path={path} query={query} />}
    </>
  );
}

/** The documentation, which is fetched when somebody first opens it. */
function Documents(props: { path: string[]; query: URLSearchParams }) {
  const { given, error } = usePromise(() => import("./docs/documentation"), []);
  if (error) return <main id="main" tabIndex={-1}><Failure error={error} /></main>;
  return given ? <given.default {...props} /> : <main id="main" tabIndex={-1} aria-busy />;
}

function Choose(props: { query: URLSearchParams }) {
  const { given, error } = usePromise(() => import("./losses/choose"), []);
  if (error) return <main id="main" tabIndex={-1}><Failure error={error} /></main>;
  return given ? <given.default {...props} /> : <main id="main" tabIndex={-1} aria-busy />;
}

function Page({ path: [page, first, ...others], query }: { path: string[]; query: URLSearchParams }) {
  if (page === "evaluate") return <EvaluationPage query={query} />;
  if (page === "service") return <OperationsPage />;
  if (page === "compare" && first && others.length) return <ComparePage baseline={first} candidates={others} />;
  return page === "runs" && first ? <RunPage id={first} /> : <RunsPage query={query} />;
}

function Losses({ name, open, onOpen }: { name: string; open: boolean; onOpen: () => void }) {
  const { query } = usePlace();
  const { given, error } = usePromise(losses, []);
  if (error) return <main id="main" tabIndex={-1}><Failure error={error} /></main>;
  if (!given) return <main id="main" tabIndex={-1} aria-busy />;
  const byName = new Map(given.flatMap((loss) => [loss.name, ...loss.aliases].map((one) => [one, loss] as const)));
  const loss = byName.get(name) ?? byName.get(START) ?? given[0];
  if (!loss) return null;
  return (
    <div class="layout">
      <LossList losses={given} current={loss.name} open={open} onOpen={onOpen} />
      <div>
        {name && !byName.has(name) && <p class="note missing" role="alert">{t("No loss is called {name}; this is {other}.", { name, other: loss.name })}</p>}
        <LossPage key={loss.name} loss={loss} all={given} names={new Set(byName.keys())} query={query} />
      </div>
    </div>
  );
}

function KeyForm({ reason, onGiven }: { reason: string; onGiven: () => void }) {
  const [key, setKey] = useState("");
  function submit(event: Event) {
    event.preventDefault();
    if (!key.trim()) return;
    giveKey(key.trim());
    onGiven();
  }
  return (
    <main id="main" tabIndex={-1}>
      <form class="request narrow" noValidate onSubmit={submit}>
        <div class="field">
          <label for="key">{t("Key")}</label>
          <input id="key" type="password" autocomplete="off" spellcheck={false} required value={key} onInput={(event) => setKey(event.currentTarget.value)} />
          <p class="hint">{reason}</p>
        </div>
        <div class="actions"><button type="submit" class="compute">{t("Open")}</button></div>
      </form>
    </main>
  );
}

// The documentation had an address of its own, with the operation behind the #.
if (/\/docs$/.test(location.pathname)) {
  const operation = /^#\/[^/]+\/(\w+)$/.exec(location.hash)?.[1];
  history.replaceState(null, "", `./#/docs${operation ? `/api/${operation}` : ""}`);
}

const root = document.getElementById("console");
if (root) {
  document.documentElement.lang = language;
  root.replaceChildren();
  render(<App />, root);
}

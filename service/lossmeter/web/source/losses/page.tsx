// A loss: its curves, what it means, where it comes from, and one request by hand.
import { useEffect } from "preact/hooks";
import { Display, Line, Name, Prose, sentence } from "../prose";
import type { Loss } from "../service";
import { t } from "../strings";
import { worded } from "../words";
import { Calculator } from "./calculator";
import { Explorer } from "./explorer";

export function LossPage({ loss, all, names, query }: { loss: Loss; all: Loss[]; names: ReadonlySet<string>; query: URLSearchParams }) {
  useEffect(() => {
    document.title = `${loss.name} · lossmeter`;
  }, [loss]);
  const torch = loss.source.match(/torch\.[\w.]*\w/)?.[0];
  const references = loss.source.split(/;\s+/).filter((part) => !part.startsWith("torch."));
  return (
    <main id="main" tabIndex={-1}>
      <header class="title">
        <p class="kind">{[worded("family", loss.family), ...loss.aliases.map((alias) => t("also {alias}", { alias })), ...(torch ? [torch] : [])].join(" · ")}</p>
        <h1><Name name={loss.name} /></h1>
        <p class="lead"><Line text={loss.summary} names={names} /></p>
      </header>
      <Explorer loss={loss} all={all} query={query} />
      <article class="about">
        <div>
          <Display latex={loss.formula} />
          <div class="explanation"><Prose text={loss.explanation} names={names} /></div>
        </div>
        <div>
          <section class="scenario"><h2>{t("Use when")}</h2><Prose text={sentence(loss.use_when)} names={names} /></section>
          <section class="scenario"><h2>{t("Avoid when")}</h2><Prose text={sentence(loss.avoid_when)} names={names} /></section>
          <section class="scenario source">
            <h2>{t("Result")}</h2>
            <p><Line text={sentence(loss.returns)} names={names} />{loss.mean === "sum / normalizer" ? null : <> <Line text={sentence(loss.mean)} names={names} /></>}</p>
            {references.length > 0 && <><h2>{t("Source")}</h2>{references.map((part) => <p key={part} lang="en"><Line text={sentence(part)} /></p>)}</>}
          </section>
        </div>
      </article>
      <Calculator key={loss.name} loss={loss} />
    </main>
  );
}

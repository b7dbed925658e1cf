// One operation of the service: what it takes and answers, the same request in five languages, and a form that sends it.
import { useEffect } from "preact/hooks";
import { href } from "../address";
import { Display, Line, usePromise } from "../prose";
import { gap, t } from "../strings";
import { Attempt } from "./attempt";
import { Description } from "./description";
import { type Answer, type Document, lossOf, type Operation, resolved, typeOf } from "./document";
import { guide } from "./guides";
import { Nested } from "./schema";

export function OperationPage({ document: all, operation }: { document: Document; operation: Operation }) {
  const loss = lossOf(operation);
  const parameters = (operation.parameters ?? []).map((one) => resolved(all, one));
  const [fine, wrong] = [true, false].map((wanted) => Object.entries(operation.responses).filter(([status]) => status.startsWith("2") === wanted)) as [[string, Answer][], [string, Answer][]];
  const scopes = (operation.security ?? []).flatMap((one) => Object.values(one).flat());
  useEffect(() => {
    document.title = `${operation.method} ${operation.path} · lossmeter`;
  }, [operation]);
  return (
    <>
      <header class="title">
        <p class="kind">{operation.tags.join(", ")}{scopes.length > 0 && ` · ${t("needs a key for {scope}, where keys are asked for", { scope: scopes.join(", ") })}`}</p>
        <h1 class="operation"><span class={`method ${operation.method.toLowerCase()}`}>{operation.method}</span> <code>{operation.path}</code></h1>
        <p class="lead" lang="en">{operation.summary}</p>
      </header>
      {loss ? <LossFormula loss={loss} /> : operation.description && <Description text={operation.description} />}
      <div class="reference">
        <div>
          {parameters.length > 0 && (
            <section class="card" aria-label={t("Parameters")}>
              <h2>{t("Parameters")}</h2>
              <dl class="fields">
                {parameters.map((one) => (
                  <div key={`${one.in} ${one.name}`}>
                    <dt><code class="strong">{one.name}</code> <span class="kind">{one.in} · <code>{one.schema ? typeOf(all, one.schema) : "string"}</code>{one.required ? ` · ${t("required")}` : ""}</span></dt>
                    <dd>{one.description && <Description text={one.description} />}</dd>
                  </div>
                ))}
              </dl>
            </section>
          )}
          {operation.requestBody && (
            <section class="card" aria-label={t("Body")}>
              <h2>{t("Body")}</h2>
              <Contents document={all} answer={{ content: operation.requestBody.content }} />
            </section>
          )}
          <section class="card" aria-label={t("Answers")}>
            <h2>{t("Answers")}</h2>
            {fine.map(([status, given]) => {
              const answer = resolved(all, given);
              return <div key={status}><p><span class="badge status-fine">{status}</span> <span lang="en">{answer.description}</span></p><Contents document={all} answer={answer} /></div>;
            })}
            <p class="hint">{t("Errors:")}{gap}{wrong.map(([status, given], i) => <>{i ? ", " : ""}<a key={status} href={href(["docs", "errors"], new URLSearchParams({ at: given.$ref?.split("/").at(-1) ?? "" }))}>{status}</a></>)}</p>
          </section>
        </div>
        <Attempt key={operation.operationId} operation={operation} parameters={parameters} />
      </div>
    </>
  );
}

function Contents({ document, answer }: { document: Document; answer: Answer }) {
  const contents = Object.entries(answer.content ?? {});
  return (
    <>
      {contents.map(([media, { schema }]) => (schema && /json$/.test(media) && contents.findIndex(([, one]) => one.schema?.$ref === schema.$ref) === contents.findIndex(([name]) => name === media)
        ? <Nested key={media} title={`${media}: ${schema.$ref?.split("/").at(-1) ?? typeOf(document, schema)}`} document={document} schema={schema} />
        : <p key={media} class="hint"><code>{media}</code></p>))}
    </>
  );
}

/** The formula of a loss, as its page has it. */
function LossFormula({ loss }: { loss: string }) {
  const { given } = usePromise(() => guide(`losses/${loss}.md`), [loss]);
  const latex = given && /(?:\$\$|```math)\s*([\s\S]+?)\s*(?:\$\$|```)/.exec(given)?.[1];
  return (
    <>
      {latex && <Display latex={latex} />}
      <p><a href={href([loss])}>{t("Curves, meaning and scenarios of {loss}", { loss })}</a></p>
    </>
  );
}

/** The errors of all operations, each once. */
export function ErrorsPage({ document: all }: { document: Document }) {
  useEffect(() => {
    document.title = `${t("Errors")} · lossmeter`;
  }, []);
  return (
    <>
      <h1>{t("Errors")}</h1>
      {Object.entries(all.components.responses).filter(([, answer]) => Object.values(answer.content ?? {}).some(({ schema }) => /Problem|Error/.test(schema?.$ref ?? ""))).map(([name, answer]) => (
        <section key={name} id={name} class="card" aria-label={name}>
          <h2>{name}</h2>
          <p lang="en"><Line text={answer.description ?? ""} /></p>
          {Object.entries(answer.content ?? {}).map(([media, { schema, examples = {} }]) => (
            <>
              {schema && <Nested key={media} title={`${media}: ${schema.$ref?.split("/").at(-1) ?? ""}`} document={all} schema={schema} />}
              {Object.entries(examples).map(([key, one]) => (
                <details key={key} class="listing"><summary lang="en"><Line text={one.summary ?? key} /></summary><pre tabIndex={0}><code>{JSON.stringify(one.value, null, 2)}</code></pre></details>
              ))}
            </>
          ))}
        </section>
      ))}
    </>
  );
}

// How the service is doing: what it is asked, how long that takes, and what it holds, from /metrics, every two seconds.
import { useEffect, useState } from "preact/hooks";
import { Plot, rangeOf } from "../drawing/plot";
import { short } from "../numbers";
import { call, read, Refused } from "../service";
import { t } from "../strings";
import { Keys } from "./keys";
import { parsed, quantile, rate, type Reading, total } from "./figures";

const EVERY_MS = 2000;
const KEPT = 150;
const DURATION = "request_duration_seconds";

export function OperationsPage() {
  const [readings, setReadings] = useState<Reading[]>([]);
  const [state, setState] = useState<{ status: string; version: string }>();
  const [error, setError] = useState("");
  useEffect(() => {
    document.title = `${t("Service")} · lossmeter`;
    let timer = 0;
    let current = true;
    async function follow() {
      if (!document.hidden) {
        try {
          const [text, health] = await Promise.all([read("metrics"), call<{ status: string; version: string }>("GET", "readyz").catch(() => call<{ status: string; version: string }>("GET", "healthz"))]);
          if (!current) return;
          setReadings((before) => [...before, parsed(text, performance.now())].slice(-KEPT));
          setState(health.given);
          setError("");
        } catch (reason) {
          if (!(reason instanceof Refused)) throw reason;
          if (current) setError(reason.message);
        }
      }
      if (current) timer = setTimeout(follow, EVERY_MS);
    }
    follow();
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, []);
  const now = readings.at(-1);
  return (
    <main id="main" class="page wide" tabIndex={-1} data-readings={readings.length}>
      <h1>{t("Service")}</h1>
      {error && <p class="error" role="alert">{error}</p>}
      {now && state && (
        <>
          <Facts now={now} state={state} />
          <History readings={readings} />
          <Routes now={now} before={readings.at(-6) ?? readings[0] ?? now} />
        </>
      )}
      <Keys />
    </main>
  );
}

const megabytes = (bytes: number | null) => (bytes === null ? "–" : `${short(bytes / 2 ** 20, 3)} MiB`);
const milliseconds = (seconds: number | null) => (seconds === null ? "–" : `${short(1000 * seconds, 3)} ms`);

function Facts({ now, state }: { now: Reading; state: { status: string; version: string } }) {
  const facts: [string, string][] = [
    [t("State"), state.status === "ready" ? t("ready") : t("not ready")],
    [t("Version"), state.version],
    [t("Device"), now.samples.find((one) => one.name === "build_info")?.labels.device ?? "–"],
    [t("Workers"), short(total(now, "workers"))],
    [t("Requests in flight"), short(total(now, "requests_in_flight"))],
    [t("Queue"), short(total(now, "queue_length"))],
    [t("Oldest in the queue"), milliseconds(Math.max(...now.samples.filter((one) => one.name === "queue_wait_seconds").map((one) => one.value), 0))],
    [t("Lag of the event loop"), milliseconds(total(now, "loop_lag_seconds"))],
    [t("Memory"), megabytes(total(now, "resident_memory_bytes"))],
    ...(total(now, "device_memory_bytes") ? [[t("Memory of the device"), `${megabytes(total(now, "device_allocated_bytes"))} / ${megabytes(total(now, "device_memory_bytes"))}`] as [string, string]] : []),
  ];
  return (
    <section class="card" aria-label={t("Now")}>
      <dl class="facts">{facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
    </section>
  );
}

const refused = (labels: Record<string, string>) => Number(labels.status) >= 400;

function History({ readings }: { readings: Reading[] }) {
  const pairs = readings.slice(1).map((after, i) => [readings[i] as Reading, after] as const);
  const last = readings.at(-1)?.at ?? 0;
  const x = pairs.map(([, after]) => (after.at - last) / 1000);
  const from = Math.min(-60, x[0] ?? 0);
  const lines: [string, (number | null)[]][] = [
    [t("Requests in a second"), pairs.map(([before, after]) => rate(before, after, "requests_total"))],
    [t("Of which refused or failed"), pairs.map(([before, after]) => rate(before, after, "requests_total", refused))],
    [t("Processor seconds in a second"), pairs.map(([before, after]) => rate(before, after, "processor_seconds_total"))],
  ];
  return (
    <section class="card" aria-label={t("The last minutes")}>
      <h2>{t("The last minutes")}</h2>
      <div class="figures-row">
        {lines.map(([name, y], i) => {
          const [, high] = rangeOf([0, ...y], 1);
          return (
            <figure key={name}>
              <figcaption>{name}</figcaption>
              <Plot height={150} label={name} x={{ label: t("seconds ago"), from, to: 0 }} y={{ label: "", from: 0, to: high }} series={[{ name, colour: i === 1 ? 1 : 0, x, y }]} />
            </figure>
          );
        })}
      </div>
    </section>
  );
}

function Routes({ now, before }: { now: Reading; before: Reading }) {
  const routes = [...new Set(now.samples.filter((one) => one.name === `${DURATION}_count`).map((one) => one.labels.route ?? ""))];
  const rows = routes.map((route) => {
    const here = (labels: Record<string, string>) => labels.route === route;
    const spent = (share: number) => milliseconds(quantile(now, DURATION, share, here));
    return {
      route, count: total(now, "requests_total", here) ?? 0, speed: rate(before, now, "requests_total", here),
      failed: total(now, "requests_total", (labels) => here(labels) && refused(labels)) ?? 0, quantiles: [spent(0.5), spent(0.95), spent(0.99)],
    };
  }).sort((a, b) => b.count - a.count);
  return (
    <section class="card" aria-label={t("Routes")}>
      <h2>{t("Routes")}</h2>
      <p class="hint">{t("Since the service was started; quantiles are interpolated in the buckets of the histograms.")}</p>
      <div class="scroll" tabIndex={0}>
        <table class="figures">
          <thead><tr><th scope="col">{t("Route")}</th><th scope="col">{t("Requests")}</th><th scope="col">{t("in a second")}</th><th scope="col">{t("Refused or failed")}</th><th scope="col">50 %</th><th scope="col">95 %</th><th scope="col">99 %</th></tr></thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.route}>
                <th scope="row"><code>{row.route}</code></th><td>{row.count.toLocaleString("en")}</td><td>{short(row.speed, 3)}</td><td>{row.failed}</td>
                {row.quantiles.map((text, i) => <td key={i}>{text}</td>)}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

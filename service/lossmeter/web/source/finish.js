// Finishes the builds: the report becomes one page with a place for the figures, licences are written beside what is bundled, and the
// hash of the sources says of which the build was made: the tests compare it with the sources that they find.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const BUILT = "../static/console/";
const REPORT = "../static/report/";
const BUNDLED = ["d3-array", "d3-contour", "hyparquet", "marked", "preact"];
const IN_REPORT = ["d3-array", "d3-contour", "preact"];

const licences = BUNDLED.map((name) => {
  const { version } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  return `== ${name} ${version}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim()}\n`;
});
writeFileSync(`${BUILT}LICENSES.txt`, licences.join("\n"));

const [script, style] = ["report.js", "style.css"].map((name) => {
  const text = readFileSync(REPORT + name, "utf8").trim();
  rmSync(REPORT + name);
  return text;
});
if (/<\/script|<!--/i.test(script) || /<\/style/i.test(style)) throw new Error("what is inlined ends its own element");
// Nothing but these two may run or be drawn with, and nothing is loaded: the figures may hold what strangers wrote.
const allowed = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
const policy = `default-src 'none'; script-src ${allowed(script)}; style-src ${allowed(style)}; base-uri 'none'; form-action 'none'`;
writeFileSync(`${REPORT}report.html`, `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>lossmeter: report</title>
<style>${style}</style>
</head>
<body>
<main id="main" class="page wide" tabindex="-1"><noscript>@text@</noscript></main>
<!-- Bundled: ${IN_REPORT.join(", ")}; their licences, MIT and ISC, are at static/console/LICENSES.txt of lossmeter. -->
<script type="application/json" id="report-data">@report@</script>
<script>${script}</script>
</body>
</html>
`);

const SOURCES = /\.(tsx?|css|json|js)$/;
const names = readdirSync(".", { recursive: true })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => SOURCES.test(name) && !name.startsWith("node_modules/"))
  .sort();
const hash = createHash("sha256");
for (const name of names) hash.update(name).update("\0").update(readFileSync(name)).update("\0");
writeFileSync(`${BUILT}sources.sha256`, `${hash.digest("hex")}\n`);

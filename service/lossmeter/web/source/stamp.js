// Writes the licences of what is bundled beside the build, and writes down of which sources the build was made, by their hash: the tests
// compare it with the sources that they find.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const SOURCES = /\.(tsx?|css|json|js)$/;
const names = readdirSync(".", { recursive: true })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => SOURCES.test(name) && !name.startsWith("node_modules/"))
  .sort();
const hash = createHash("sha256");
for (const name of names) hash.update(name).update("\0").update(readFileSync(name)).update("\0");
writeFileSync("../static/console/sources.sha256", `${hash.digest("hex")}\n`);

const BUNDLED = ["d3-array", "preact"];
const licences = BUNDLED.map((name) => {
  const { version } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  return `== ${name} ${version}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim()}\n`;
});
writeFileSync("../static/console/LICENSES.txt", licences.join("\n"));

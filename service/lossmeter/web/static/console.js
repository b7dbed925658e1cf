// The console: the catalogue at the side, one loss in the middle, its answer beside it.
import { listing, refusal, success } from "./answer.js";
import { breakable, display, element, line, prose, sentence } from "./dom.js";
import { RequestForm } from "./form.js";
import { hasKey, keyForm, withKey } from "./key.js";

const NOT_SHOWN = new Set(["reduction", "gradients", "tensor_encoding"]);
const main = document.getElementById("main");
const search = document.getElementById("search");
const families = document.getElementById("families");
const menu = document.querySelector(".menu");
const address = (path) => new URL(path, document.baseURI).href;

async function fetched(path) {
  const response = await fetch(address(path), { headers: withKey() });
  if (response.status === 401) throw Object.assign(new Error(), { refused: (await response.json()).detail });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

/** The fields that the requests of all losses have in common, as the API document declares them. */
function sharedFields(document_, entry) {
  const { schema } = document_.paths[`/v1/losses/${entry.name}`].post.requestBody.content["application/json"];
  const { schemas } = document_.components;
  const named = ({ $ref }) => $ref?.split("/").at(-1);
  const { properties } = schemas[named(schema)];
  const own = new Set([...entry.roles, ...entry.tensor_parameters, ...entry.parameters].map(({ name }) => name));
  return Object.entries(properties)
    .filter(([name]) => !own.has(name) && !NOT_SHOWN.has(name))
    .map(([name, declared]) => ({ name, tensor: named(declared) === "Tensor", schema: { ...schemas[named(declared)], ...declared } }));
}

function matches(entry, words) {
  const text = [entry.name, entry.name.replaceAll("_", " "), ...entry.aliases, entry.family, entry.summary, entry.use_when].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function list(losses, current) {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const groups = Map.groupBy(losses.filter((entry) => matches(entry, words)), (entry) => entry.family);
  const items = [...groups].map(([family, members]) => element("section", {},
    element("h2", {}, family),
    element("ul", {}, members.map((entry) => element("li", {},
      element("a", { href: `#/${entry.name}`, "aria-current": entry.name === current ? "page" : null, title: entry.summary }, breakable(entry.name)))))));
  families.replaceChildren(...(items.length ? items : [element("p", { class: "hint" }, "No loss is like that.")]));
}

function about(entry, names) {
  const list_ = (title, text) => element("section", { class: "scenario" }, element("h2", {}, title), prose(sentence(text), names));
  const torch = entry.source.match(/torch\.[\w.]*\w/);
  const references = entry.source.split(/;\s+/).filter((part) => !part.startsWith("torch."));
  return element("article", { class: "about" },
    element("p", { class: "kind" }, [entry.family, ...entry.aliases.map((alias) => `also ${alias}`), ...(torch ? [torch[0]] : [])].join(" · ")),
    element("h1", {}, breakable(entry.name)),
    element("p", { class: "lead" }, line(entry.summary, names)),
    display(entry.formula),
    element("div", { class: "explanation" }, prose(entry.explanation, names)),
    element("div", { class: "pair" }, list_("Use when", entry.use_when), list_("Avoid when", entry.avoid_when)),
    element("section", { class: "source" },
      element("h2", {}, "Result"),
      element("p", {}, line(sentence(entry.returns), names), entry.mean === "sum / normalizer" ? null : [" ", ...line(sentence(entry.mean), names)]),
      references.length ? [element("h2", {}, "Source"), references.map((part) => element("p", {}, line(sentence(part))))] : null));
}

function curl(url, body) {
  const key = hasKey() ? "  -H \"Authorization: Bearer $LOSSMETER_API_KEY\" \\\n" : "";
  return `curl ${url} \\\n${key}  -H 'Content-Type: application/json' \\\n  -d '${body.replaceAll("'", "'\\''")}'`;
}

function workbench(entry, shared) {
  const answer = element("section", { class: "answer", "aria-live": "polite", "aria-label": "Answer" });
  const command = element("div", {});
  const url = address(`v1/losses/${entry.name}`);
  const form = new RequestForm(entry, shared, { changed, submitted });
  let latest = 0;

  function changed() {
    try {
      command.replaceChildren(listing("As a command", curl(url, form.body()), command.querySelector("details")?.open ?? true));
    } catch { /* What is not JSON yet is said when it is sent. */ }
  }

  async function submitted() {
    const number = ++latest;
    let body;
    try {
      body = form.body();
    } catch (error) {
      form.complain([{ pointer: `/${error.field}`, message: error.message }]);
      return;
    }
    form.submit.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(url, { method: "POST", headers: withKey({ "Content-Type": "application/json" }), body });
      const text = await response.text();
      if (number !== latest) return; // a later one is under way
      const given = JSON.parse(text);
      form.complain(response.ok ? [] : given.errors);
      answer.replaceChildren(
        ...(response.ok ? success(given, response.headers.get("Server-Timing") ?? "") : refusal(given)).filter(Boolean),
        listing("As JSON", JSON.stringify(given, null, 1).replace(/\n\s+(?=[-\d\]n])/g, " ")));
    } catch (error) {
      answer.replaceChildren(element("p", { class: "error" }, `The service did not answer: ${error.message}.`));
    } finally {
      form.submit.removeAttribute("aria-busy");
    }
  }

  form.fill(0);
  changed();
  answer.append(element("p", { class: "hint" }, "The answer will appear here."));
  return element("section", { class: "workbench", "aria-label": "Request" }, form.node, answer, command);
}

async function start() {
  const [{ losses }, document_] = await Promise.all([fetched("v1/losses"), fetched("openapi.json")]);
  const byName = new Map(losses.flatMap((entry) => [entry.name, ...entry.aliases].map((name) => [name, entry])));
  const names = new Set(byName.keys());

  function show() {
    const entry = byName.get(decodeURIComponent(location.hash.replace(/^#\/?/, ""))) ?? byName.get("cross_entropy") ?? losses[0];
    list(losses, entry.name);
    document.title = `${entry.name} · lossmeter`;
    main.replaceChildren(about(entry, names), workbench(entry, sharedFields(document_, entry)));
    open(false);
    scrollTo(0, 0);
  }

  function open(state) {
    menu.setAttribute("aria-expanded", String(state));
    document.body.classList.toggle("open", state);
  }

  menu.addEventListener("click", () => open(menu.getAttribute("aria-expanded") !== "true"));
  search.addEventListener("input", () => list(losses, families.querySelector("[aria-current]")?.textContent));
  search.addEventListener("keydown", (event) => {
    const first = families.querySelector("a");
    if (event.key === "Enter" && first) location.hash = first.hash;
    else if (event.key === "ArrowDown") first?.focus();
    else return;
    event.preventDefault();
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, textarea, select")) return;
    event.preventDefault();
    open(true);
    search.focus();
  });
  addEventListener("hashchange", show);
  show();
}

function begin() {
  start().catch((error) => main.replaceChildren(error.refused
    ? keyForm(error.refused, begin)
    : element("p", { class: "error" }, `The catalogue could not be read: ${error.message}.`)));
}

begin();

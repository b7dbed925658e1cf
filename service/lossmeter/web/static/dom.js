// Elements and prose. Text from the catalogue is set as text, never as markup.

/** An element with attributes (functions become listeners) and children. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null));
  return node;
}

/** A formula, drawn by KaTeX; as it is written, if KaTeX does not know it. */
export function formula(latex, displayMode) {
  const node = element(displayMode ? "div" : "span", { class: "math" });
  try {
    window.katex.render(latex, node, { displayMode, strict: false });
  } catch {
    node.replaceChildren(element("code", {}, latex));
  }
  return node;
}

/** A displayed formula, its parts side by side where there is room and below each other where there is not. */
export function display(latex) {
  const parts = latex.split(/\\q?quad\b/);
  const whole = parts.every((part) => (part.match(/[{]|\\begin/g) ?? []).length === (part.match(/[}]|\\end/g) ?? []).length);
  return element("div", { class: "formula", role: "figure", "aria-label": "Formula" },
    (whole ? parts : [latex]).map((part) => element("div", { class: "scroll" }, formula(part, true))));
}

const MARKS = /`([^`]+)`|\$([^$]+)\$([.,;:)]*)|(https?:\/\/[^\s;]*[^\s;.,])/g;

/** A line of prose with `code`, $formulas$ and addresses. Code that names a loss leads to it. */
export function line(text, losses = new Set()) {
  const parts = [];
  let done = 0;
  for (const match of text.matchAll(MARKS)) {
    const [whole, code, latex, after, address] = match;
    parts.push(text.slice(done, match.index));
    if (latex) parts.push(element("span", { class: "unbroken" }, formula(latex, false), after));
    else if (address) parts.push(element("a", { href: address, rel: "noreferrer" }, address.replace(/^https?:\/\//, "")));
    else if (losses.has(code)) parts.push(element("a", { href: `#/${code}` }, element("code", {}, code)));
    else parts.push(element("code", {}, code));
    done = match.index + whole.length;
  }
  parts.push(text.slice(done));
  return parts;
}

/** Paragraphs of prose. */
export function prose(text, losses) {
  return text.split(/\n\s*\n/).map((paragraph) => element("p", {}, line(paragraph, losses)));
}

/** A name that may be broken after its underscores. */
export function breakable(name) {
  return name.split("_").flatMap((word, i) => (i ? ["_", element("wbr"), word] : [word]));
}

export function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!]$/.test(begun) ? begun : `${begun}.`;
}

/** A button that copies what `text` gives. */
export function copyButton(text) {
  const button = element("button", { type: "button", class: "quiet", click: copy }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select and copy by hand";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }
  return button;
}

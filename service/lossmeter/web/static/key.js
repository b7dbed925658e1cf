// The key that calls carry, where the service asks for one. Kept until the tab is closed, and nowhere else.
import { element } from "./dom.js";

const PLACE = "lossmeter.key";

/** Whether there is one. */
export const hasKey = () => sessionStorage.getItem(PLACE) !== null;

/** Headers, and with them the key. */
export function withKey(headers = {}) {
  return hasKey() ? { ...headers, Authorization: `Bearer ${sessionStorage.getItem(PLACE)}` } : headers;
}

/** A form that asks for a key; `given` is called when there is one. */
export function keyForm(reason, given) {
  const input = element("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true });
  function submit(event) {
    event.preventDefault();
    if (!input.value.trim()) return;
    sessionStorage.setItem(PLACE, input.value.trim());
    given();
  }
  return element("form", { class: "request", novalidate: true, submit },
    element("div", { class: "field" },
      element("label", { for: "key" }, "Key"),
      input,
      element("p", { class: "hint" }, reason)),
    element("div", { class: "actions" }, element("button", { type: "submit", class: "compute" }, "Open")));
}

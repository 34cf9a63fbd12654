// Whose memories the pages are about: ids that go along with every call. Kept for this tab alone.

import { button, field, h, put } from "./dom.js";
import { isolated } from "./format.js";

const PLACE = "remanence.scope";
const NAMES = ["user_id", "agent_id", "run_id", "app_id"];
const LABELS = { user_id: "User", agent_id: "Agent", run_id: "Run", app_id: "App" };
const listeners = new Set();

let bound = {};
let chosen = read();

function read() {
  try {
    const found = JSON.parse(sessionStorage.getItem(PLACE) ?? "{}");
    return Object.fromEntries(NAMES.filter((name) => typeof found[name] === "string").map((name) => [name, found[name]]));
  } catch {
    return {};
  }
}

/** The ids of every call. */
export function scope() {
  return { ...chosen, ...bound };
}

/** Whether there is anybody to ask about. */
export function named() {
  return Object.keys(scope()).length > 0;
}

/** The ids that the key is bound to: they cannot be changed here. */
export function bind(ids) {
  bound = ids;
}

/** Look at other memories. */
export function choose(ids) {
  chosen = Object.fromEntries(NAMES.filter((name) => ids[name]).map((name) => [name, ids[name]]));
  sessionStorage.setItem(PLACE, JSON.stringify(chosen));
  listeners.forEach((listener) => listener());
}

export function onChange(listener) {
  listeners.add(listener);
}

/** A scope in words. */
export function describe(ids) {
  const parts = NAMES.filter((name) => ids[name]).map((name) => `${LABELS[name].toLowerCase()} ${isolated(ids[name])}`);
  return parts.join(", ") || "nobody";
}

/** The bar that shows and changes the scope. */
export function bar(root) {
  const now = scope();
  const inputs = Object.fromEntries(
    NAMES.map((name) => [
      name,
      h("input", {
        id: `scope-${name}`,
        value: now[name] ?? "",
        disabled: name in bound,
        placeholder: name === "user_id" ? "whose memories" : "any",
        autocomplete: "off",
        autocapitalize: "off",
        spellcheck: "false",
        maxlength: "500",
      }),
    ]),
  );
  const apply = (event) => {
    event.preventDefault();
    choose(Object.fromEntries(NAMES.map((name) => [name, inputs[name].value.trim()])));
  };
  const narrower = NAMES.slice(1).some((name) => now[name]);
  const open = !matchMedia("(max-width: 720px)").matches || narrower;
  const rest = h("div", { class: "scope-rest", hidden: !open }, NAMES.slice(1).map((name) => field(LABELS[name], inputs[name])));
  const more = button("More ids", () => {
    rest.hidden = !rest.hidden;
    more.setAttribute("aria-expanded", String(!rest.hidden));
  }, { kind: "plain only-narrow", "aria-expanded": String(open) });
  put(
    root,
    h(
      "form",
      { class: "scope", "aria-label": "Whose memories", on: { submit: apply } },
      field(LABELS.user_id, inputs.user_id),
      rest,
      h("div", { class: "buttons" }, h("button", { type: "submit" }, "Show"), more),
    ),
  );
}

// The frame around the pages: which page an address means, who is signed in, colours, shortcuts.

import { ApiError, get, key, onRefused, setKey } from "./api.js";
import { announce, show } from "./dialog.js";
import { button, field, h, put } from "./dom.js";
import { bar, bind, describe, named, onChange, scope } from "./scope.js";
import { attempt, failure } from "./states.js";
import { welcome } from "./pages/welcome.js";

const PAGES = [
  { name: "search", label: "Search", key: "s" },
  { name: "timeline", label: "Timeline", key: "t" },
  { name: "graph", label: "Graph", key: "g" },
  { name: "changes", label: "Changes", key: "c" },
  { name: "erasures", label: "Erasures", key: "e" },
  { name: "audit", label: "Audit", key: "a" },
  { name: "jobs", label: "Jobs", key: "j" },
  { name: "scopes", label: "Scopes", key: "o", free: true },
  { name: "catalog", label: "Catalog", key: "k", free: true, anybody: true },
];
const HIDDEN = [{ name: "memory", label: "Memory" }];
const THEMES = { auto: ["Auto", "auto, as the system has them"], light: ["Light", "light"], dark: ["Dark", "dark"] };

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const scopeBar = document.getElementById("scope");
let me = null;
let leaving = null;
let drawn = 0;

/** The page, the part behind its name, and the parameters that the address names. */
function address() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, rest = ""] = path.split("/");
  let id = "";
  try {
    id = decodeURIComponent(rest);
  } catch {
    id = rest;
  }
  return { name: name || "search", id, params: new URLSearchParams(query) };
}

/** Put parameters into the address without drawing the page again. */
function remember(name, values) {
  const params = new URLSearchParams(Object.entries(values).filter(([, value]) => value));
  const text = params.toString();
  history.replaceState(null, "", `#/${name}${text && `?${text}`}`);
}

async function draw({ focus = true } = {}) {
  leaving?.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const turn = (drawn += 1);
  const { name, id, params } = address();
  const page = [...PAGES, ...HIDDEN].find((one) => one.name === name);
  closeMenu();
  for (const anchor of nav.querySelectorAll("a")) {
    if (anchor.dataset.page === name) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  if (!page) {
    location.replace("#/search");
    return;
  }
  document.title = `${page.label} · Remanence`;
  const title = h("h1", { tabindex: "-1" }, page.label);
  const root = h("div", { class: `content page-${name}` });
  put(main, title, root);
  scopeBar.hidden = page.anybody === true;
  if (focus) title.focus({ preventScroll: true });
  scrollTo(0, 0);
  if (!page.free && !named()) {
    await welcome(root, { me, signal });
    return;
  }
  let module;
  try {
    module = await import(`./pages/${name}.js`);
  } catch {
    if (turn === drawn) put(root, failure(new ApiError(0, "offline", "This page could not be loaded."), again));
    return;
  }
  if (turn !== drawn) return;
  await module.render(root, { id, params, signal, me, remember: (values) => remember(name, values), again: () => draw({ focus: false }), title });
}

/** A browser remembers that a module could not be fetched: once the server is back, everything is loaded anew. */
async function again() {
  if (await attempt(() => get("whoami", { quiet: true }))) location.reload();
}

function signIn(message = null) {
  leaving?.abort();
  drawn += 1;
  document.title = "Sign in · Remanence";
  document.body.classList.add("signing-in");
  put(scopeBar);
  const input = h("input", {
    id: "key", type: "password", autocomplete: "off", required: true, placeholder: "rmk_…", spellcheck: "false",
  });
  const told = h("div", { "aria-live": "assertive" }, message && h("p", { class: "wrong" }, message));
  const form = h("form", {
    class: "sign-in",
    on: {
      submit: async (event) => {
        event.preventDefault();
        setKey(input.value.trim());
        await start(told);
      },
    },
  },
    h("h1", {}, "Sign in"),
    h("p", {}, "This server wants a key. Whoever runs it makes one with ", h("code", {}, "remanence keys create"), "."),
    field("Key", input),
    told,
    h("div", { class: "buttons" }, h("button", { type: "submit" }, "Sign in")),
    h("p", { class: "muted small" }, "It is kept in this tab until you close it or sign out, and nowhere else."));
  put(main, form);
  input.focus();
}

/** Find out who asks, and show the page or the form that asks for a key. */
async function start(told = null) {
  try {
    me = await get("whoami", { quiet: true });
  } catch (error) {
    if (error.status === 401) {
      const wrong = key() !== null;
      setKey(null);
      if (told) put(told, h("p", { class: "wrong" }, "That key is not valid: mistyped, expired or revoked."));
      else signIn(wrong ? "Your key has ended. Sign in with another one." : null);
      return;
    }
    if (told) put(told, failure(error));
    else put(main, failure(error, () => start()));
    return;
  }
  document.body.classList.remove("signing-in");
  bind(me.scope);
  document.getElementById("who").textContent = key() ? me.name : "";
  document.getElementById("who").title = `May: ${me.rights.join(", ")}`;
  document.getElementById("leave").hidden = !key();
  bar(scopeBar);
  await draw({ focus: Boolean(told) });
}

function leave() {
  setKey(null);
  me = null;
  bind({});
  document.getElementById("who").textContent = "";
  document.getElementById("leave").hidden = true;
  start();
}

// Colours

function themed() {
  return document.documentElement.dataset.theme ?? "auto";
}

function showTheme() {
  const [label, words] = THEMES[themed()];
  const control = document.getElementById("theme");
  control.textContent = label;
  control.setAttribute("aria-label", `Colours: ${words}`);
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(themed()) + 1) % names.length];
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("remanence.theme", next);
  } catch {
    // It then lasts as long as the page.
  }
  showTheme();
  announce(`Colours: ${THEMES[next][1]}`);
}

// Shortcuts

let going = 0;

function shortcut(event) {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "Escape" && typing) {
    typing.blur();
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (document.body.classList.contains("signing-in")) return;
  const soon = Date.now() - going < 1500;
  going = 0;
  const page = soon && PAGES.find((one) => one.key === event.key);
  if (page) location.hash = `#/${page.name}`;
  else if (event.key === "g") going = Date.now();
  else if (event.key === "/") (main.querySelector("input[type=search]") ?? document.getElementById("scope-user_id"))?.focus();
  else if (event.key === "u") document.getElementById("scope-user_id")?.focus();
  else if (event.key === "?") help();
  else if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
  else if (event.key === "w") document.activeElement.closest?.(".card")?.querySelector(".why")?.click();
  else return;
  event.preventDefault();
}

/** Go to the next or previous memory of a list. */
function step(by) {
  const cards = [...main.querySelectorAll(".card .text a")];
  const now = cards.findIndex((anchor) => anchor.closest(".card").contains(document.activeElement));
  const next = cards[Math.min(cards.length - 1, Math.max(0, now < 0 ? 0 : now + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function help() {
  const keys = [
    ["/", "Search on this page"],
    ["u", "Whose memories"],
    ["j, k", "Next and previous memory of a list"],
    ["w", "Why the memory at hand was found"],
    ["Esc", "Leave a field, close a dialog"],
    ["?", "This list"],
    ...PAGES.map((page) => [`g ${page.key}`, page.label]),
  ];
  show("Keyboard shortcuts",
    h("dl", { class: "keys" }, keys.map(([name, what]) => [h("dt", {}, h("kbd", {}, name)), h("dd", {}, what)])),
    h("p", { class: "muted small" }, "All times are in UTC."));
}

// The frame

function closeMenu() {
  nav.classList.remove("open");
  document.getElementById("menu").setAttribute("aria-expanded", "false");
}

put(nav, h("ul", {}, PAGES.map((page) => h("li", {}, h("a", { href: `#/${page.name}`, data: { page: page.name } }, page.label)))));
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.getElementById("menu").addEventListener("click", (event) => {
  const open = nav.classList.toggle("open");
  event.currentTarget.setAttribute("aria-expanded", String(open));
});
document.getElementById("theme").addEventListener("click", nextTheme);
document.getElementById("help").addEventListener("click", help);
document.getElementById("leave").addEventListener("click", leave);
document.addEventListener("keydown", shortcut);
addEventListener("hashchange", () => me && draw());
addEventListener("offline", () => announce("The network is gone."));
onRefused(() => {
  if (!me) return;
  me = null;
  setKey(null);
  signIn("Your key has ended. Sign in with another one.");
});
onChange(() => {
  bar(scopeBar);
  announce(`Memories of ${describe(scope())}`);
  if (me) draw();
});
showTheme();
start();

// Whose memories there are, and how many somebody has.

import { get } from "../api.js";
import { button, field, h, put } from "../dom.js";
import { count, many, time, words } from "../format.js";
import { choose, describe, named, scope } from "../scope.js";
import { empty, load } from "../states.js";

const PAGE = 50;
const MOST = 1000;
const WAIT = 150;

export async function render(root, { signal, me }) {
  const now = h("section", { "aria-label": "This scope" });
  const list = h("section", { "aria-label": "All scopes" });
  put(root, now, list);
  await Promise.all([
    named() && load(now, () => get("stats", { query: scope(), signal }), stats),
    load(list, () => get("scopes", { query: { limit: MOST }, signal }), (found) => all(found, me)),
  ]);
}

function stats(found) {
  const rows = [
    ["Memories", count(found.memories)],
    ["Records, derived ones included", count(found.records)],
    ["Versions", count(found.versions)],
    ["Sessions", count(found.sessions)],
    ["Speakers", count(found.speakers)],
    ["Links", count(found.edges)],
    ["Erasures", count(found.erasures)],
    ["First said", time(found.first_event_at)],
    ["Last said", time(found.last_event_at)],
    ["Kinds", Object.entries(found.kinds).map(([kind, number]) => `${count(number)} ${words(kind)}`).join(", ")],
    ["Vectors", Object.values(found.vectors).length > 0 && Object.entries(found.vectors).map(([space, number]) => `${count(number)} of ${space.split("@")[0]}`).join(", ")],
  ];
  return h("div", { class: "card" }, h("div", { class: "body" }, h("h2", {}, `Now: ${describe(found.scope)}`),
    h("dl", { class: "details" }, rows.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))));
}

function all({ results, count: number }, me) {
  if (results.length === 0) return empty("Nothing is remembered yet", "Add something over the API, with the proxy or from Python.");
  const filter = h("input", { type: "search", placeholder: "part of an id", autocomplete: "off" });
  const rows = h("ul", { class: "plain-list scopes-list" });
  const told = h("p", { class: "summary", role: "status" });
  let shown = PAGE;
  const more = button("Show more", () => {
    shown += PAGE;
    draw();
  }, { kind: "plain" });
  const names = results.map((ids) => [ids, describe(ids), describe(ids).toLowerCase()]);
  const draw = () => {
    const wanted = filter.value.trim().toLowerCase();
    const found = wanted ? names.filter(([, , low]) => low.includes(wanted)) : names;
    told.textContent = `${many(found.length, "scope")}${number > results.length ? ` among the first ${count(results.length)} of ${count(number)}` : ""}`;
    put(rows, found.slice(0, shown).map(([ids, name]) => h("li", {}, h("span", {}, name), button("Look", () => {
      choose(ids);
      location.hash = "#/search";
    }, { kind: "plain small", "aria-label": `Look at ${name}` }))));
    more.hidden = shown >= found.length;
  };
  let timer = 0;
  filter.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      shown = PAGE;
      draw();
    }, WAIT);
  });
  draw();
  return [h("div", { class: "toolbar fields" }, field("Find a scope", filter)), me.scope && Object.keys(me.scope).length > 0 && h("p", { class: "muted" }, `Your key reaches ${describe(me.scope)}.`), told, rows, more];
}

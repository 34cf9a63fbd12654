// What a page shows while it waits, when there is nothing, and when something went wrong.

import { button, h, put } from "./dom.js";
import { announce, note } from "./dialog.js";

const TITLES = {
  0: "The server cannot be reached",
  403: "Your key does not reach there",
  404: "There is no such thing here",
  409: "Something else came first",
  429: "Too many requests",
  503: "Not at present",
};
const ADVICE = {
  0: "See whether it runs, and whether you are on its network. Nothing that you did is lost; nothing new was done.",
  403: "Ask whoever runs the server for a key with this right or scope, or sign in with another one.",
  404: "It may belong to somebody else, or was erased. Check whose memories you look at.",
  409: "Load the page again and look at what has changed.",
};

/** Nothing to show, and what to do about it. */
export function empty(title, ...advice) {
  return h("div", { class: "empty" }, h("h2", {}, title), h("p", {}, advice));
}

/** An error, with a way on. */
export function failure(error, retry) {
  const title = TITLES[error.status] ?? "That did not work";
  const box = h(
    "div",
    { class: "failure", role: "alert", data: { status: String(error.status ?? "") } },
    h("h2", {}, title),
    error.message !== `${title}.` && h("p", {}, error.message),
    ADVICE[error.status] && h("p", { class: "muted" }, ADVICE[error.status]),
    error.requestId && h("p", { class: "muted small" }, "Request ", h("code", {}, error.requestId)),
  );
  if (retry) box.append(h("div", { class: "buttons" }, waiting(error, retry)));
  return box;
}

function waiting(error, retry) {
  let timer = 0;
  const again = button("Try again", () => {
    clearInterval(timer);
    retry();
  });
  if (error.status !== 429) return again;
  let left = Math.ceil(error.retryAfter ?? 1);
  const tell = () => (again.textContent = left > 0 ? `Try again (in ${left} s by itself)` : "Try again");
  tell();
  timer = setInterval(() => {
    left -= 1;
    if (!again.isConnected) clearInterval(timer);
    else if (left <= 0) again.click();
    else tell();
  }, 1000);
  return again;
}

/** Fill `root` with what `work` brings; until then it is busy, and an error shows a way on. */
export async function load(root, work, show) {
  root.setAttribute("aria-busy", "true");
  const late = setTimeout(() => {
    if (!root.hasChildNodes()) put(root, h("p", { class: "muted loading" }, "Loading…"));
  }, 150);
  const later = setTimeout(() => announce("Still loading…"), 2000);
  try {
    const found = await work();
    put(root, show(found));
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status === undefined) throw error;
    put(root, failure(error, () => load(root, work, show)));
  } finally {
    clearTimeout(late);
    clearTimeout(later);
    root.setAttribute("aria-busy", "false");
  }
}

/** Do something that a person asked for, and tell how it went. Answers undefined when it failed. */
export async function attempt(work, done) {
  try {
    const found = await work();
    if (done) note(typeof done === "function" ? done(found) : done);
    return found;
  } catch (error) {
    if (error.status === undefined) throw error;
    note(`${TITLES[error.status] ?? "That did not work"}: ${error.message}`, { bad: true });
    return undefined;
  }
}

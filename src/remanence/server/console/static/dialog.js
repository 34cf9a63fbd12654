// Questions that have to be answered before something goes, and short notes of what was done.

import { button, h, put } from "./dom.js";

let number = 0;

/**
 * Ask before doing something. Answers null when the person thought better of it, else `{ reason }`.
 *
 * title, what (nodes that name what will go), yes (label), reason (ask for one), type (a word to be typed first)
 */
export function confirm({ title, what, yes, danger = true, reason = false, type = null }) {
  const id = `dialog-${(number += 1)}`;
  return new Promise((resolve) => {
    const why = reason ? h("input", { id: `${id}-reason`, maxlength: "1000", autocomplete: "off" }) : null;
    const typed = type ? h("input", { id: `${id}-type`, autocomplete: "off", autocapitalize: "off", spellcheck: "false" }) : null;
    const go = h("button", { type: "submit", class: danger ? "danger" : "", disabled: Boolean(type) }, yes);
    const no = button("Cancel", () => dialog.close(), { kind: "plain", autofocus: true });
    typed?.addEventListener("input", () => (go.disabled = typed.value.trim() !== type));
    let answer = null;
    const done = (event) => {
      event.preventDefault();
      if (go.disabled) return;
      answer = { reason: why?.value.trim() ?? "" };
      dialog.close();
    };
    const dialog = h(
      "dialog",
      { "aria-labelledby": `${id}-title` },
      h(
        "form",
        { on: { submit: done } },
        h("h2", { id: `${id}-title` }, title),
        h("div", { class: "what" }, what),
        why && h("label", { class: "field" }, h("span", {}, "Reason, kept with it (not required)"), why),
        typed && h("label", { class: "field" }, h("span", {}, "Type ", h("b", {}, type), " to go on"), typed),
        h("div", { class: "buttons end" }, no, go),
      ),
    );
    const before = document.activeElement;
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before?.isConnected) before.focus();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Show something in a dialog that is only closed. */
export function show(title, ...content) {
  const dialog = h(
    "dialog",
    { "aria-label": title },
    h("h2", {}, title),
    content,
    h("div", { class: "buttons end" }, button("Close", () => dialog.close(), { autofocus: true })),
  );
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before?.isConnected) before.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** Tell what was done, at the edge of the screen; `action` is a pair of a label and what it does. */
export function note(text, { bad = false, action = null } = {}) {
  const place = document.getElementById("notes");
  const box = h(
    "div",
    { class: bad ? "note bad" : "note", role: bad ? "alert" : "status" },
    h("span", {}, text),
    action && button(action[0], () => {
      box.remove();
      action[1]();
    }),
    button("×", () => box.remove(), { kind: "plain", "aria-label": "Dismiss" }),
  );
  put(place, box);
  setTimeout(() => box.remove(), 15000);
}

/** Say something to those who hear the page. */
export function announce(text) {
  document.getElementById("announce").textContent = text;
}

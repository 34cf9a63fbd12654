// What is still to be worked out, and what failed.

import { get, post } from "../api.js";
import { confirm } from "../dialog.js";
import { button, field, h, put, select } from "../dom.js";
import { count, many, time, words } from "../format.js";
import { describe, scope } from "../scope.js";
import { attempt, empty, load } from "../states.js";

const PAGE = 100;

export async function render(root, { signal, again }) {
  const state = select([["", "all"], ["waiting", "waiting"], ["leased", "being done"], ["dead", "failed"]], "");
  const told = h("div", { class: "counts" });
  const list = h("section", { "aria-label": "Jobs" });
  const act = (work, done) => async () => {
    if (await attempt(work, done)) again();
  };
  put(root,
    h("div", { class: "toolbar fields" },
      field("State", state),
      button("Work them out now", act(() => post("work", { body: { seconds: 5, ...scope() } }), (report) => `${many(report.done, "job")} done, ${report.left} left`)),
      button("Try failed ones again", act(() => post("jobs/retry", { body: scope() }), (answer) => `${many(answer.retried, "job")} will be tried again`), { kind: "plain" })),
    told, list);
  // Counting takes longer than listing where there are many memories: nobody waits for it.
  const tell = () => load(told, () => get("stats", { query: scope(), signal }), ({ jobs }) =>
    h("p", { class: "summary" }, `${count(jobs.waiting ?? 0)} waiting, ${count(jobs.leased ?? 0)} being done, ${count(jobs.dead ?? 0)} failed`));
  const draw = () => load(list, () => get("jobs", { query: { ...scope(), states: state.value ? [state.value] : [], limit: PAGE }, signal }), ({ results: rows }) => [
    rows.length === 0
      ? empty(state.value ? "No such jobs" : "Nothing waits", state.value ? "Choose another state." : "All that was added has been worked out: facts, episodes, entities.")
      : h("ol", { class: "plain-list" }, rows.map((job) => row(job, again))),
    rows.length === PAGE && h("p", { class: "muted" }, `These are the oldest ${PAGE}.`),
  ]);
  state.addEventListener("change", draw);
  await Promise.all([tell(), draw()]);
}

function row(job, again) {
  const give = async () => {
    const answer = await confirm({
      title: "Give this job up?",
      what: [h("blockquote", { class: "named" }, words(job.kind), " for ", describe(job)), h("p", {}, "What it would have worked out is not, until the next change there. No memory is lost.")],
      yes: "Give up",
    });
    if (answer && (await attempt(() => post("jobs/discard", { body: { ids: [job.id], ...scope() } }), "Given up"))) again();
  };
  return h("li", { class: "change" }, h("div", {},
    h("p", { class: "meta" }, h("span", { class: `tag ${job.state === "dead" ? "bad" : ""}` }, job.state === "dead" ? "failed" : job.state), h("b", {}, words(job.kind)), h("span", {}, describe(job)), time(job.created_at), h("span", {}, many(job.attempts, "attempt"))),
    job.error && h("pre", {}, job.error)),
    h("div", { class: "buttons" },
      job.state === "dead" && button("Try again", async () => {
        if (await attempt(() => post("jobs/retry", { body: { ids: [job.id], ...scope() } }), "It will be tried again")) again();
      }),
      job.state !== "leased" && button("Give up…", give, { kind: "plain" })));
}

// Jobs of a tenant, or of all tenants for those who run the service: found by state, type and reason; retried, cancelled.
import { ago, announce, button, clamp, dialog, fill, h, redraw, toast } from "./dom.js";
import { call, get, session } from "./api.js";
import { pill } from "./files.js";
import { explain, jobName, stateWords } from "./words.js";

const PAGE = 50;
const ASK_MS = 2500;
const STATES = ["", "queued", "running", "waiting", "retry", "failed", "done", "cancelled"];
const LIVE = ["queued", "running", "retry", "waiting"];

export class JobList {
  // routes: list, retry, cancel(job); opens(job): may its file be opened?; showsTenant.
  constructor({ routes, opens, showsTenant = false, showProblem, changed }) {
    Object.assign(this, { routes, opens, showsTenant, showProblem, changed, status: "", type: "", error: "", jobs: [], pages: 1, more: false, loaded: false });
    this.states = h("div", { class: "chips", role: "group", "aria-label": "State of the jobs" }, STATES.map((value) =>
      h("button", { type: "button", class: "chip", "aria-pressed": String(value === ""), data: { state: value }, text: { "": "All", waiting: "Waiting", retry: "Will retry" }[value] ?? stateWords(value),
        onclick: () => this.choose({ status: value }) })));
    this.only = h("div", { class: "only" });
    this.list = h("ul", { class: "works", "aria-label": "Jobs", "aria-busy": "true" }, h("li", { class: "row-ghost", "aria-hidden": "true" }));
    this.below = h("div", { class: "below" });
    this.all = button("Retry all that failed", { icon: "retry", onclick: () => this.retryAll() });
    this.element = h("div", { class: "block" }, h("div", { class: "toolbar flush" }, this.states, this.all), this.only, this.list, this.below);
  }

  choose(wanted) {
    Object.assign(this, { pages: 1, shown: null }, wanted);
    for (const chip of this.states.children) chip.setAttribute("aria-pressed", String(chip.dataset.state === this.status));
    const parts = [this.type && jobName(this.type), this.error && explain(this.error).title].filter(Boolean);
    fill(this.only, parts.length > 0 && h("span", { class: "note" }, "Only ", h("strong", { text: parts.join(", ") })),
      parts.length > 0 && button("Show all", { kind: "ghost", onclick: () => this.choose({ type: "", error: "", status: "" }) }));
    return this.refresh();
  }

  path(before) {
    const query = new URLSearchParams({ limit: PAGE });
    for (const name of ["status", "type", "error"]) if (this[name]) query.set(name, this[name]);
    if (before) query.set("before", before);
    return `${this.routes.list}?${query}`;
  }

  async refresh() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    try {
      const jobs = [];
      for (let page = 0; page < this.pages; page += 1) {
        const answer = await get(this.path(jobs.at(-1)?.id));
        jobs.push(...answer.jobs);
        this.more = answer.jobs.length === PAGE;
        if (!this.more) break;
      }
      if (turn === this.turn) this.draw(jobs);
    } catch (problem) {
      if (turn === this.turn && !this.loaded) this.fail(problem);
    }
  }

  fail(problem) {
    const { title, advice } = explain(problem.code);
    fill(this.list);
    fill(this.below, h("div", { class: "callout bad", role: "alert" }, h("strong", { text: title }), h("p", { text: advice }),
      button("Try again", { onclick: () => this.refresh() })));
  }

  draw(jobs) {
    const shown = JSON.stringify(jobs);
    this.loaded = true;
    this.jobs = jobs;
    this.list.setAttribute("aria-busy", "false");
    if (shown === this.shown) return;
    this.shown = shown;
    redraw(this.list, jobs.map((job) => this.row(job)));
    fill(this.below, jobs.length === 0 && h("p", { class: "empty", text: this.status || this.type || this.error ? "No job is like that." : "No jobs yet." }),
      this.more && button("Load more", { onclick: () => { this.pages += 1; this.refresh(); } }));
  }

  row(job) {
    const live = LIVE.includes(job.status);
    const name = `${jobName(job.type)} of ${job.filename ?? "a file"}`;
    const facts = [this.showsTenant && h("span", { text: job.tenant }), job.attempts > 1 && `attempt ${job.attempts}`,
      job.status === "running" && job.progress_total > 0 && `${clamp(job.progress_done, 0, job.progress_total)} of ${job.progress_total}`,
      job.status === "running" && job.locked_by && `on ${job.locked_by}`,
      job.status === "retry" && ["again ", ago(job.run_after)], ago(job.finished_at ?? job.started_at ?? job.created_at)].filter(Boolean);
    return h("li", { class: "work", data: { job: job.id } },
      h("div", { class: "work-words" },
        h("p", { class: "work-name" }, jobName(job.type), " · ",
          this.opens(job) ? h("a", { href: `#/files/${job.file_id}`, data: { key: `open ${job.id}` }, text: job.filename ?? "Unnamed" }) : h("span", { text: job.filename ?? "Unnamed" })),
        h("p", { class: "note" }, facts.map((fact, i) => [i > 0 && " · ", fact])),
        job.error_code && h("p", { class: "job-fault" }, explain(job.error_code).title, " ", h("code", { text: job.error_code }), job.error_detail && ` ${job.error_detail}`)),
      pill(job.status),
      h("div", { class: "work-actions" },
        job.status === "failed" && button(`Retry ${name}`, { icon: "retry", compact: true, kind: "ghost", data: { key: `retry ${job.id}` },
          onclick: () => this.retry({ job_id: job.id }) }),
        live && button(`Cancel ${name}`, { icon: "close", compact: true, kind: "ghost", data: { key: `cancel ${job.id}` }, onclick: () => this.cancel(job, name) })));
  }

  async retryAll() {
    const which = { type: this.type || undefined, error: this.error || undefined };
    const words = [which.type && jobName(which.type), which.error && explain(which.error).title].filter(Boolean).join(", ");
    const sure = await dialog("Queue failed jobs again?", h("p", { text: words ? `All failed jobs like this, at most 1000: ${words}.` : "All failed jobs, at most 1000." }),
      [{ label: "Leave them", value: "" }, { label: "Retry", value: "retry", kind: "primary" }]);
    if (sure === "retry") await this.retry(which);
  }

  async retry(which) {
    try {
      const { retried } = await call("POST", this.routes.retry, which);
      const words = retried === 0 ? "Nothing to retry: the files have newer runs, or are gone" : `${retried} queued again`;
      toast(words);
      announce(words);
    } catch (problem) {
      this.showProblem(problem);
    }
    this.changed?.();
    await this.refresh();
  }

  async cancel(job, name) {
    const sure = await dialog("Cancel this job?", h("p", { text: `${name} ends at once. What its file has already stays.` }),
      [{ label: "Let it run", value: "" }, { label: "Cancel the job", value: "cancel", kind: "danger" }]);
    if (sure !== "cancel") return;
    try {
      await call("POST", this.routes.cancel(job.id), {});
      toast("Cancelled");
    } catch (problem) {
      this.showProblem(problem);
    }
    this.changed?.();
    await this.refresh();
  }
}

// The view of a tenant's owners, admins and internal members.
class Jobs {
  constructor({ main, showProblem }) {
    const tenant = `/v1/tenants/${session.tenant}/jobs`;
    this.list = new JobList({ showProblem, opens: () => true, routes: { list: tenant, retry: `${tenant}/retry`, cancel: (id) => `/v1/jobs/${id}/cancel` } });
    fill(main, h("div", { class: "page" }, h("h1", { text: "Jobs" }), this.list.element));
    this.list.refresh();
    this.timer = setInterval(() => { if (!document.hidden) this.list.refresh(); }, ASK_MS);
  }

  refresh() { this.list.refresh(); }

  close() { clearInterval(this.timer); }
}

export const jobsView = (context) => new Jobs(context);

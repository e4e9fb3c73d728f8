// For those who run the service: the queue of all tenants, why jobs fail, who works, what comes round by itself.
import { ago, button, duration, fill, h, redraw, span, toast } from "./dom.js";
import { call, get } from "./api.js";
import { JobList } from "./jobs.js";
import { explain, jobName } from "./words.js";

const ASK_MS = 2500;
const OLD_SECONDS = 60;

const cell = (text, kind = "") => h("td", { class: kind || undefined }, text);
const head = (names) => h("thead", {}, h("tr", {}, names.map(([name, kind]) =>
  h("th", { scope: "col", class: kind }, kind === "act" ? h("span", { class: "hidden-text", text: name }) : name))));

class Service {
  constructor({ main, showProblem, tenants }) {
    Object.assign(this, { showProblem, closed: false, shown: {} });
    this.tiles = h("div", { class: "tiles" });
    this.queue = h("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Queue" });
    this.failures = h("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Failures" });
    this.workers = h("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Workers" });
    this.schedules = h("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Schedules" });
    this.fault = h("div", { role: "alert" });
    this.list = new JobList({ showProblem, showsTenant: true, changed: () => this.load(), opens: (job) => tenants.some((tenant) => tenant.id === job.tenant_id),
      routes: { list: "/v1/admin/jobs", retry: "/v1/admin/jobs/retry", cancel: (id) => `/v1/admin/jobs/${id}/cancel` } });
    const block = (title, content, note) => h("section", { class: "block" }, h("div", { class: "section-head" }, h("h2", { text: title }), note && h("span", { class: "note", text: note })), content);
    this.jobs = block("Jobs", this.list.element);
    fill(main, h("div", { class: "page" }, h("h1", { text: "Service" }), this.fault, this.tiles, block("Queue", this.queue, "By type of job, of all tenants"),
      h("div", { class: "pair" }, block("Failures", this.failures, "Of the last day"), block("Workers", this.workers, "What runs now")),
      block("Schedules", this.schedules, "Work that comes round"), this.jobs));
    this.refresh();
    this.timer = setInterval(() => { if (!document.hidden) this.refresh(); }, ASK_MS);
  }

  refresh() {
    this.load();
    this.list.refresh();
  }

  async load() {
    try {
      const [queue, schedules] = await Promise.all([get("/v1/admin/queue"), get("/v1/admin/schedules")]);
      if (this.closed) return;
      fill(this.fault);
      this.draw("tiles", [queue.queue, queue.failures], () => this.drawTiles(queue));
      this.draw("queue", [queue.queue, queue.paused], () => this.drawQueue(queue));
      this.draw("failures", queue.failures, () => this.drawFailures(queue.failures));
      this.draw("workers", queue.workers, () => this.drawWorkers(queue.workers));
      this.draw("schedules", schedules.schedules, () => this.drawSchedules(schedules.schedules));
    } catch (problem) {
      if (this.closed || problem.code === "network") return;
      const { title, advice } = explain(problem.code);
      fill(this.fault, h("div", { class: "callout bad" }, h("strong", { text: title }), h("p", { text: advice })));
    }
  }

  // A part is drawn again only when what it shows has changed, and the focus stays where it was.
  draw(name, data, make) {
    const shown = JSON.stringify(data);
    if (this.shown[name] === shown) return;
    this.shown[name] = shown;
    redraw(this[name], make());
  }

  drawTiles({ queue, failures }) {
    const count = (...states) => queue.filter((row) => states.includes(row.status)).reduce((sum, row) => sum + row.jobs, 0);
    const oldest = Math.max(0, ...queue.map((row) => row.oldest_seconds ?? 0));
    const failed = failures.reduce((sum, row) => sum + row.jobs, 0);
    return [["Ready to run", count("queued")], ["Running", count("running")], ["Will retry, or wait for parts", count("retry", "waiting")],
      ["Oldest has waited", span(oldest), oldest > OLD_SECONDS], ["Failed in a day", failed, failed > 0]]
      .map(([name, figure, bad]) => h("div", { class: `tile-figure ${bad ? "bad" : ""}` }, h("span", { class: "figure", text: String(figure) }), h("span", { class: "note", text: name })));
  }

  drawQueue({ queue, paused }) {
    const types = [...new Set([...queue.map((row) => row.type), ...paused])].sort();
    if (types.length === 0) return h("p", { class: "empty", text: "The queue is empty." });
    const of = (type, ...states) => queue.filter((row) => row.type === type && states.includes(row.status)).reduce((sum, row) => sum + row.jobs, 0);
    return h("table", {}, head([["Type"], ["Queued", "number"], ["Running", "number"], ["Retry", "number"], ["Waiting", "number"], ["Oldest", "number"], ["Pause or resume", "act"]]),
      h("tbody", {}, types.map((type) => {
        const stopped = paused.includes(type);
        const oldest = Math.max(0, ...queue.filter((row) => row.type === type).map((row) => row.oldest_seconds ?? 0));
        return h("tr", {}, h("th", { scope: "row" }, this.only(jobName(type), { type }, `queue ${type}`), stopped && h("span", { class: "tag warn", text: "paused" })),
          ["queued", "running", "retry", "waiting"].map((state) => cell(String(of(type, state)), "number")),
          cell(oldest > 0 ? span(oldest) : "–", oldest > OLD_SECONDS ? "number bad" : "number"),
          cell(button(`${stopped ? "Resume" : "Pause"} ${jobName(type)}`, { icon: stopped ? "play" : "pause", compact: true, kind: "ghost", data: { key: `pause ${type}` },
            onclick: () => this.act(`/v1/admin/${stopped ? "resume" : "pause"}`, { type }, stopped ? "Resumed" : "Paused: no more of them start") }), "act"));
      })));
  }

  drawFailures(failures) {
    if (failures.length === 0) return h("p", { class: "empty", text: "Nothing has failed." });
    return h("table", {}, head([["Reason"], ["Jobs", "number"], ["Last"], ["Retry", "act"]]),
      h("tbody", {}, failures.map((row) => {
        const which = { type: row.type, error: row.error_code ?? "" };
        return h("tr", {}, h("th", { scope: "row" }, this.only(explain(row.error_code).title, { ...which, status: "failed" }, `failed ${row.type} ${row.error_code}`),
          h("span", { class: "note second" }, `${jobName(row.type)} · `, h("code", { text: row.error_code ?? "–" }))),
        cell(String(row.jobs), "number"), cell(ago(row.last), "nowrap"),
        cell(button(`Retry ${jobName(row.type)}: ${row.error_code}`, { icon: "retry", compact: true, kind: "ghost", data: { key: `again ${row.type} ${row.error_code}` },
          onclick: () => this.list.retry({ type: row.type, error: row.error_code ?? undefined }) }), "act"));
      })));
  }

  drawWorkers(workers) {
    if (workers.length === 0) return h("p", { class: "empty", text: "No job runs at the moment." });
    return h("table", {}, head([["Worker"], ["Jobs", "number"], ["Since"]]),
      h("tbody", {}, workers.map((row) => h("tr", {}, h("th", { scope: "row" }, h("code", { text: row.locked_by ?? "–" })), cell(String(row.running), "number"), cell(ago(row.since), "nowrap left")))));
  }

  drawSchedules(schedules) {
    if (schedules.length === 0) return h("p", { class: "empty", text: "Nothing comes round." });
    return h("table", {}, head([["Name"], ["Every", "number"], ["Last run"], ["What it said", "extra"], ["Run or switch", "act"]]),
      h("tbody", {}, schedules.map((row) => h("tr", {}, h("th", { scope: "row" }, h("span", { text: row.name }), !row.enabled && h("span", { class: "tag warn", text: "off" }),
        row.failures > 0 && h("span", { class: "tag bad", text: `${row.failures} failed in a row` })),
      cell(row.cron ? [h("code", { text: row.cron }), row.time_zone !== "UTC" && h("span", { class: "note second", text: row.time_zone })] : span(row.every_seconds), "number"), cell([ago(row.last_run), row.last_ms !== null && row.last_ms !== undefined && h("span", { class: "note second", text: row.last_ms < 1000 ? `${row.last_ms} ms` : duration(row.last_ms / 1000) })], "nowrap"),
      cell(row.last_result ?? "–", "extra"),
      cell([button(`Run ${row.name} now`, { icon: "play", compact: true, kind: "ghost", data: { key: `run ${row.name}` },
        onclick: () => this.act(`/v1/admin/schedules/${row.name}`, { run_now: true }, "It runs as soon as a scheduler looks") }),
      button(row.enabled ? `Switch ${row.name} off` : `Switch ${row.name} on`, { icon: row.enabled ? "close" : "check", compact: true, kind: "ghost", data: { key: `switch ${row.name}` },
        onclick: () => this.act(`/v1/admin/schedules/${row.name}`, { enabled: !row.enabled }, row.enabled ? "Switched off" : "Switched on") })], "act nowrap")))));
  }

  // A name that narrows the list of jobs below to what it names.
  only(text, which, key) {
    return h("button", { type: "button", class: "link", data: { key }, text, onclick: () => {
      this.list.choose({ type: "", error: "", status: "", ...which });
      this.jobs.scrollIntoView({ block: "start", behavior: "smooth" });
    } });
  }

  async act(path, body, done) {
    try {
      await call("POST", path, body);
      toast(done);
    } catch (problem) {
      this.showProblem(problem);
    }
    await this.load();
  }

  close() {
    this.closed = true;
    clearInterval(this.timer);
  }
}

export const adminView = (context) => new Service(context);

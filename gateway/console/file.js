// One file: its state, its jobs as they run, what came out of it, and what can be done with it.
import { ago, announce, button, bytes, clamp, copyText, dialog, fill, h, icon, toast } from "./dom.js";
import { call, content, get, link } from "./api.js";
import { watch } from "./live.js";
import { pill, tile } from "./files.js";
import { pagesPreview } from "./pages.js";
import { audioPreview } from "./audio.js";
import { orderJob } from "./order.js";
import { explain, family, jobName, kindName, stateWords } from "./words.js";

const SETTLE_MS = 120;
const ASK_MS = 3000;
const TEXT_SHOWN = 400000;
const LIVE = ["queued", "running", "retry", "waiting"];

class File_ {
  constructor({ main, showProblem, role }, id) {
    Object.assign(this, { main, showProblem, id, elevated: ["owner", "admin", "internal"].includes(role), closed: false, file: null, shown: null,
      progress: new Map() });
    fill(main, h("div", { class: "page" }, h("div", { class: "ghost-block", "aria-hidden": "true" }), h("p", { class: "hidden-text", role: "status", text: "Loading" })));
    this.load().then(() => this.follow());
  }

  follow() {
    if (this.closed || this.gone) return;
    this.stop = watch(this.id, (kind, data) => this.news(kind, data), true);
    if (!this.stop) this.timer = setInterval(() => { if (!document.hidden) this.load(); }, ASK_MS);
  }

  news(kind, data) {
    if (this.closed) return;
    if (kind === "job.progress") {
      this.progress.set(data.job ?? data.job_id, data);
      this.drawJobs();
      return;
    }
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.load(), SETTLE_MS);
  }

  async load() {
    try {
      const before = this.file?.status;
      const file = await get(`/v1/files/${this.id}`);
      if (this.closed) return;
      this.file = file;
      if (!this.shown) this.draw();
      this.update();
      if (before && before !== file.status) announce(`${file.filename ?? "The file"}: ${stateWords(file.status)}.`);
    } catch (problem) {
      if (this.closed || (this.shown && problem.status !== 404)) return;
      this.fail(problem);
    }
  }

  refresh() { this.load(); }

  fail(problem) {
    const { title, advice } = explain(problem.code);
    this.gone = problem.status === 404 || problem.status === 403;
    fill(this.main, h("div", { class: "page" }, h("a", { class: "back", href: "#/files" }, icon("back"), "Files"),
      h("h1", { text: "This file can't be shown" }),
      h("div", { class: "callout bad", role: "alert" }, h("strong", { text: title }), h("p", { text: advice }),
        this.gone ? null : button("Try again", { onclick: () => this.load() }))));
  }

  draw() {
    const { file } = this;
    this.state = h("span", { class: "state", role: "status" });
    this.facts = h("dl", { class: "facts" });
    this.faults = h("div", { class: "faults" });
    this.jobs = h("ul", { class: "jobs" });
    this.outputs = h("ul", { class: "outputs" });
    this.preview = h("section", { class: "preview", "aria-label": "Preview" });
    this.actions = h("div", { class: "actions" });
    this.sign = h("span");
    fill(this.main, h("div", { class: "page" }, h("a", { class: "back", href: "#/files" }, icon("back"), "Files"),
      h("div", { class: "file-head" }, this.sign, h("div", { class: "file-title" }, h("h1", { text: file.filename ?? "Unnamed" }), this.state), this.actions),
      this.faults,
      h("div", { class: "split" }, this.preview,
        h("aside", { class: "side", "aria-label": "About this file" },
          h("section", { class: "card" }, h("h2", { text: "Jobs" }), this.jobs),
          h("section", { class: "card" }, h("h2", { text: "Results" }), this.outputs),
          h("section", { class: "card" }, h("h2", { text: "Details" }), this.facts)))));
    this.shown = { status: null, outputs: null };
    document.title = `${file.filename ?? "File"} · Filemill`;
  }

  update() {
    const { file, shown } = this;
    const outputs = JSON.stringify([file.generation, file.derivatives.map((entry) => [entry.kind, entry.sha256, entry.updated_at])]);
    if (shown.status !== file.status || shown.run !== file.generation) {
      fill(this.state, pill(file.status));
      fill(this.sign, tile(file));
      this.drawActions();
      this.drawFacts();
    }
    this.drawJobs();
    this.drawFaults();
    if (shown.outputs !== outputs) this.drawOutputs();
    if (shown.outputs !== outputs || shown.status !== file.status) this.drawPreview();
    else this.inner?.update?.(file);
    Object.assign(shown, { status: file.status, run: file.generation, outputs });
  }

  drawActions() {
    const { file } = this;
    const there = file.status !== "uploading";
    fill(this.actions,
      there && button("Download", { icon: "download", kind: "primary", onclick: () => this.download() }),
      there && button("Copy link", { icon: "copy", onclick: () => this.copy() }),
      there && button("Run a job", { icon: "play", onclick: () => this.order() }),
      there && this.elevated && button("Reprocess", { icon: "retry", onclick: () => this.act("POST", `/v1/internal/files/${this.id}/reprocess`, "Its jobs run anew") }),
      button("Delete", { icon: "trash", kind: "danger", onclick: () => this.remove() }));
  }

  drawFacts() {
    const { file } = this;
    const row = (name, ...value) => [h("dt", { text: name }), h("dd", {}, value)];
    fill(this.facts, row("Size", bytes(file.size_bytes)), row("Type", file.detected_mime ?? file.mime),
      file.detected_mime && file.detected_mime !== file.mime && row("Declared", file.mime),
      row("Visible to", { private: "Its owner and admins", internal: "Admins", public: "Everybody" }[file.visibility] ?? file.visibility),
      row("Uploaded", ago(file.created_at)), row("Run", String(file.generation + 1)), row("Id", h("code", { text: file.file_id })));
  }

  drawJobs() {
    if (!this.file) return;
    const jobs = this.file.jobs;
    fill(this.jobs, jobs.length ? jobs.map((job) => this.job(job))
      : h("li", { class: "note", text: this.file.status === "uploading" ? "They begin when the upload is complete." : "Nothing to do for this kind of file." }));
  }

  job(job) {
    const news = this.progress.get(job.id);
    const done = Math.max(job.progress_done ?? 0, news?.done ?? 0);
    const total = Math.max(job.progress_total ?? 0, news?.total ?? 0);
    const live = LIVE.includes(job.status);
    const facts = [job.ordered && "ordered", job.attempts > 1 && `attempt ${job.attempts}`, job.status === "retry" && ["again ", ago(job.run_after)],
      live && total > 0 && `${clamp(done, 0, total)} of ${total}`,
      job.status === "done" && job.started_at && job.finished_at && `${Math.max(0.1, (new Date(job.finished_at) - new Date(job.started_at)) / 1000).toFixed(1)} s`]
      .filter(Boolean);
    return h("li", { class: "job", data: { type: job.type } },
      h("div", { class: "job-head" }, h("span", { class: "job-name", text: jobName(job.type) }), pill(job.status),
        live && button(`Cancel ${jobName(job.type)}`, { icon: "close", compact: true, kind: "ghost", onclick: () => this.act("POST", `/v1/jobs/${job.id}/cancel`, "Cancelled") })),
      facts.length > 0 && h("p", { class: "note" }, facts.map((fact, i) => [i > 0 && " · ", fact])),
      ["running", "waiting"].includes(job.status) && (total > 0
        ? h("progress", { max: total, value: clamp(done, 0, total), "aria-label": `Progress of ${jobName(job.type)}` })
        : h("progress", { "aria-label": `Progress of ${jobName(job.type)}` })),
      job.error_code && h("p", { class: "job-fault" }, explain(job.error_code).title, " ", h("code", { text: job.error_code })),
      job.ordered && job.status === "failed" && [h("p", { class: "note", text: explain(job.error_code).advice }),
        job.error_detail && h("p", { class: "note", text: job.error_detail })]);
  }

  // An order that failed is told with its job: the file is none the worse for it.
  drawFaults() {
    const failed = this.file.jobs.filter((job) => job.status === "failed" && !job.ordered);
    fill(this.faults, failed.map((job) => {
      const { title, advice } = explain(job.error_code);
      return h("div", { class: "callout bad" }, icon("alert", 20), h("div", {}, h("strong", { text: `${jobName(job.type)}: ${title}` }), h("p", { text: advice }),
        job.error_detail && h("p", { class: "detail" }, h("code", { text: job.error_code }), ` ${job.error_detail}`)));
    }));
  }

  drawOutputs() {
    const list = this.file.derivatives;
    fill(this.outputs, list.length ? list.map((entry) => h("li", { class: "output" },
      h("div", { class: "output-words" }, h("span", { text: kindName(entry.kind) }), h("span", { class: "note", text: `${bytes(entry.size_bytes)} · ${entry.mime.split(";")[0]}` })),
      button(`Copy a link to ${kindName(entry.kind)}`, { icon: "copy", compact: true, kind: "ghost", onclick: () => this.copy(entry.kind) }),
      button(`Download ${kindName(entry.kind)}`, { icon: "download", compact: true, kind: "ghost", onclick: () => this.download(entry.kind) })))
      : h("li", { class: "note", text: "Nothing yet." }));
  }

  // ---- previews ----

  async drawPreview() {
    const { file } = this;
    const has = (kind) => file.derivatives.some((entry) => entry.kind === kind);
    const of = (kind, options) => content(this.id, kind, file.generation, options);
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const made = JSON.stringify([file.generation, ...file.derivatives.filter((entry) => entry.kind !== "page_images").map((entry) => entry.sha256)]);
    if (this.inner?.update && this.made === made) {
      this.inner.update(file);
      return;
    }
    try {
      const inner = await this.makePreview(file, has, of);
      if (this.closed || turn !== this.turn) {
        inner?.close?.();
        return;
      }
      this.inner?.close?.();
      Object.assign(this, { inner, made });
      fill(this.preview, inner?.element ?? this.noPreview());
    } catch (problem) {
      if (this.closed || turn !== this.turn) return;
      const { title, advice } = explain(problem.code ?? "internal_error");
      fill(this.preview, h("div", { class: "callout bad" }, h("strong", { text: title }), h("p", { text: advice }), button("Try again", { onclick: () => this.drawPreview() })));
    }
  }

  noPreview() {
    const words = { uploading: "The upload is not complete.", processing: "Results show here as they come.", failed: "There is nothing to show." }[this.file.status]
      ?? "There is no preview for this kind of file.";
    return h("div", { class: "empty tall" }, this.file.status === "processing" && h("span", { class: "spinner", "aria-hidden": "true" }), h("p", { text: words }));
  }

  async makePreview(file, has, of) {
    const kind = family(file.detected_mime ?? file.mime);
    const picture = has("display") ? "display" : has("thumbnail") ? "thumbnail" : null;
    if (has("pdf_pages") || has("ocr_json")) {
      const [pages, ocr, url] = await Promise.all([has("pdf_pages") ? of("pdf_pages") : null, has("ocr_json") ? of("ocr_json") : null,
        picture ? link(this.id, picture, file.generation) : null]);
      const wordless = !pages && !ocr.pages.some((page) => page.words.length > 0);
      if (kind === "image" && picture && wordless) return this.picturePreview(file, picture);
      return pagesPreview({ pages, ocr, picture: url, isPicture: kind === "image", name: file.filename ?? "the file", file });
    }
    if (kind === "audio" && (has("waveform") || file.status === "ready")) {
      const [waveform, transcript, url] = await Promise.all([has("waveform") ? of("waveform") : null, has("transcript_json") ? of("transcript_json") : null, link(this.id)]);
      return audioPreview({ waveform, transcript, url, name: file.filename ?? "the sound" });
    }
    if (has("office_text")) return this.textPreview(await of("office_text", { as: "text" }));
    if (picture) return this.picturePreview(file, picture);
    return null;
  }

  textPreview(text) {
    const cut = text.length > TEXT_SHOWN;
    return { element: h("div", { class: "text-preview" }, h("pre", { tabindex: "0", "aria-label": "Text", text: cut ? text.slice(0, TEXT_SHOWN) : text }),
      cut && h("p", { class: "note", text: "The rest is in the download." })) };
  }

  async picturePreview(file, kind) {
    const kinds = ["display", ...file.derivatives.map((entry) => entry.kind).filter((name) => /^(variant_|portal_photo)/.test(name) && !name.endsWith("proof")), "thumbnail"]
      .filter((name) => file.derivatives.some((entry) => entry.kind === name));
    const picture = h("img", { class: "picture", alt: file.filename ?? "The picture", src: await link(this.id, kind, file.generation) });
    const choices = h("div", { class: "chips", role: "group", "aria-label": "Which picture" }, kinds.map((name) =>
      h("button", { type: "button", class: "chip", "aria-pressed": String(name === kind), text: kindName(name), onclick: async (event) => {
        for (const chip of choices.children) chip.setAttribute("aria-pressed", String(chip === event.currentTarget));
        try { picture.src = await link(this.id, name, file.generation); } catch (problem) { this.showProblem(problem); }
      } })));
    return { element: h("div", { class: "picture-preview" }, kinds.length > 1 && choices, h("div", { class: "picture-frame" }, picture)) };
  }

  // ---- what can be done ----

  async download(kind) {
    try {
      const anchor = h("a", { href: await link(this.id, kind, this.file.generation), rel: "noreferrer", download: "" });
      document.body.append(anchor);
      anchor.click();
      anchor.remove();
    } catch (problem) {
      this.showProblem(problem);
    }
  }

  async copy(kind) {
    try {
      await copyText(await link(this.id, kind, this.file.generation));
      toast("Link copied. It works for some minutes, for whoever has it.");
    } catch (problem) {
      if (problem.code) this.showProblem(problem);
      else toast("The browser does not allow copying here.", "bad");
    }
  }

  async order() {
    try {
      if (!await orderJob(this.file)) return;
      toast("Queued");
      await this.load();
    } catch (problem) {
      this.showProblem(problem);
    }
  }

  async act(method, path, done) {
    try {
      await call(method, path, method === "POST" ? {} : undefined);
      toast(done);
      this.progress.clear();
      await this.load();
    } catch (problem) {
      this.showProblem(problem);
    }
  }

  async remove() {
    const sure = await dialog("Delete this file?", h("p", { text: `“${this.file.filename ?? "Unnamed"}” and all its results go. This can't be undone.` }),
      [{ label: "Keep it", value: "" }, { label: "Delete", value: "delete", kind: "danger" }]);
    if (sure !== "delete") return;
    try {
      await call("DELETE", `/v1/files/${this.id}`);
      toast("Deleted");
      location.hash = "#/files";
    } catch (problem) {
      this.showProblem(problem);
    }
  }

  key(event) { return this.inner?.key?.(event) ?? false; }

  close() {
    this.closed = true;
    clearInterval(this.timer);
    clearTimeout(this.settling);
    this.stop?.();
    this.inner?.close?.();
  }
}

export const fileView = (context, id) => new File_(context, id);

// Uploads: init-upload, the bytes straight to storage with progress, finalize. A few at a time, the rest wait.
import { announce, button, bytes, fill, h } from "./dom.js";
import { Problem, bus, call, connection, connectionLost, randomId, session } from "./api.js";
import { explain, mimeOf } from "./words.js";

const AT_ONCE = 3;
const URL_FRESH_MS = 200000;

class Upload {
  constructor(file, owner) {
    Object.assign(this, { file, owner, tenant: session.tenant, visibility: owner.visibility, state: "waiting", loaded: 0, id: null, begun: null,
      begunAt: 0, arrived: false, request: null, fault: null });
    this.draw();
  }

  get active() { return ["starting", "sending", "checking"].includes(this.state); }

  draw() {
    this.bar = h("progress", { max: 100, value: 0, "aria-label": `Upload of ${this.file.name}` });
    this.status = h("p", { class: "upload-state" });
    this.actions = h("div", { class: "upload-actions" });
    this.element = h("li", { class: "upload" }, h("div", { class: "upload-head" },
      h("span", { class: "upload-name", title: this.file.name, text: this.file.name }), this.actions), this.bar, this.status);
    this.move("waiting");
  }

  move(state, fault = null) {
    this.state = state;
    this.fault = fault;
    this.element.dataset.state = state;
    const name = this.file.name;
    const again = { icon: "retry", compact: true, kind: "ghost", onclick: () => this.again() };
    const drop = button(`Cancel ${name}`, { icon: "close", compact: true, kind: "ghost", onclick: () => this.cancel() });
    const actions = {
      waiting: [drop], starting: [drop], sending: [button(`Pause ${name}`, { icon: "pause", compact: true, kind: "ghost", onclick: () => this.pause() }), drop],
      paused: [button(`Resume ${name}`, { ...again, icon: "play" }), drop], failed: [button(`Retry ${name}`, again), drop],
    }[state] ?? [];
    fill(this.actions, actions);
    if (state === "done") this.actions.append(h("a", { class: "button ghost", href: `#/files/${this.id}`, text: "Open" }));
    this.say();
    this.owner.changed();
  }

  say() {
    const size = this.file.size;
    const words = {
      waiting: `Waiting · ${bytes(size)}`, starting: "Starting…", sending: `${bytes(this.loaded)} of ${bytes(size)}`,
      paused: "Paused. Resuming sends it from the start.", checking: "Checking what arrived…", done: `Uploaded · ${bytes(size)}`,
    }[this.state];
    this.bar.value = this.state === "done" ? 100 : size > 0 ? (100 * this.loaded) / size : 0;
    if (this.state === "failed") {
      const { title, advice } = explain(this.fault.code);
      fill(this.status, h("strong", { text: `${title}. ` }), this.fault.detail && this.fault.code === "bad_request" ? this.fault.detail : advice);
    } else {
      fill(this.status, words ?? "");
    }
  }

  async run() {
    try {
      if (!this.arrived) {
        await this.begin();
        await this.send();
      }
      this.move("checking");
      await call("POST", "/v1/files/finalize", { file_id: this.id });
      this.move("done");
      announce(`${this.file.name} is uploaded.`);
      bus.dispatchEvent(new CustomEvent("uploaded", { detail: this.id }));
    } catch (problem) {
      if (this.state === "paused" || this.state === "cancelled") return;
      if (!(problem instanceof Problem)) throw problem;
      if (["size_mismatch", "object_not_found_in_storage", "upload_expired", "type_mismatch", "empty_file"].includes(problem.code)) {
        this.arrived = false;
        if (problem.code !== "size_mismatch") this.begun = null;
      }
      this.loaded = this.arrived ? this.file.size : 0;
      this.move("failed", problem);
      announce(`The upload of ${this.file.name} failed.`);
    }
  }

  async begin() {
    this.move("starting");
    if (this.begun && Date.now() - this.begunAt < URL_FRESH_MS) return;
    this.begun = await call("POST", "/v1/files/init-upload", { tenant_id: this.tenant, filename: this.file.name, mime: mimeOf(this.file),
      size_bytes: this.file.size, visibility: this.visibility }, { key: randomId() });
    this.begunAt = Date.now();
    this.id = this.begun.file_id;
    if (this.state !== "starting") throw new Problem(0, "cancelled");
  }

  send() {
    this.move("sending");
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      this.request = request;
      request.open("PUT", this.begun.upload_url);
      for (const [name, value] of Object.entries(this.begun.required_headers ?? {})) {
        if (!/^(host|content-length)$/i.test(name)) request.setRequestHeader(name, value);
      }
      request.upload.addEventListener("progress", (event) => {
        this.loaded = event.loaded;
        this.say();
      });
      request.addEventListener("load", () => {
        this.arrived = request.status >= 200 && request.status < 300;
        if (this.arrived) {
          this.loaded = this.file.size;
          resolve();
        } else {
          reject(new Problem(request.status, "storage_refused"));
        }
      });
      request.addEventListener("error", async () => {
        const alive = await fetch("/health", { cache: "no-store" }).then((answer) => answer.ok, () => false);
        if (!alive) connectionLost();
        reject(new Problem(0, alive ? "blocked" : "network"));
      });
      request.addEventListener("abort", () => reject(new Problem(0, "cancelled")));
      request.send(this.file);
    });
  }

  pause() {
    this.loaded = 0;
    this.move("paused");
    this.request?.abort();
  }

  again() {
    this.move("waiting");
    this.owner.next();
  }

  cancel() {
    this.move("cancelled");
    this.request?.abort();
    this.owner.remove(this);
  }
}

class Uploads {
  constructor() {
    this.list = [];
    this.visibility = "private";
    this.picker = h("input", { type: "file", multiple: true, class: "hidden-text", tabindex: "-1", "aria-label": "Files to upload",
      onchange: () => { this.add(this.picker.files); this.picker.value = ""; } });
    this.items = h("ul", { class: "upload-list" });
    this.summary = h("h2", { class: "upload-title" });
    this.panel = h("section", { class: "uploads", "aria-label": "Uploads", hidden: true },
      h("div", { class: "uploads-head" }, this.summary,
        button("Close finished uploads", { icon: "close", compact: true, kind: "ghost", onclick: () => this.tidy() })), this.items, this.picker);
  }

  choose() { this.picker.click(); }

  add(files) {
    for (const file of files) {
      const upload = new Upload(file, this);
      this.list.push(upload);
      this.items.prepend(upload.element);
    }
    this.changed();
    this.next();
  }

  next() {
    for (const upload of this.list) {
      if (this.list.filter((entry) => entry.active).length >= AT_ONCE) return;
      if (upload.state === "waiting") upload.run().finally(() => this.next());
    }
  }

  changed() {
    const list = this.list ?? [];
    const open = list.filter((upload) => upload.active || upload.state === "waiting").length;
    const failed = list.filter((upload) => upload.state === "failed").length;
    this.panel.hidden = list.length === 0;
    this.summary.textContent = open > 0 ? `Uploading ${open} ${open === 1 ? "file" : "files"}`
      : failed > 0 ? `${failed} failed` : list.some((upload) => upload.state === "paused") ? "Paused" : "All uploaded";
  }

  remove(upload) {
    this.list = this.list.filter((entry) => entry !== upload);
    upload.element.remove();
    this.changed();
    this.next();
  }

  tidy() {
    for (const upload of [...this.list]) if (!upload.active && upload.state !== "waiting") this.remove(upload);
  }

  resumeAfterOutage() {
    for (const upload of this.list) if (upload.state === "failed" && upload.fault?.code === "network" && connection.state === "ok") upload.again();
  }

  reset() {
    for (const upload of [...this.list]) upload.cancel();
  }

  isBusy() { return this.list.some((upload) => upload.active || upload.state === "waiting"); }
}

export const uploads = new Uploads();

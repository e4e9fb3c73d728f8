// The list of a tenant's files.
import { ago, button, bytes, fill, h, icon } from "./dom.js";
import { bus, get, link, session } from "./api.js";
import { uploads } from "./uploads.js";
import { explain, family, stateTone, stateWords } from "./words.js";

const PAGE = 50;
const BUSY_MS = 1500;
const QUIET_MS = 20000;
const FILTERS = [["", "All"], ["processing", "Processing"], ["ready", "Ready"], ["failed", "Failed"], ["uploading", "Uploading"]];

export function pill(state) {
  return h("span", { class: `pill ${stateTone(state)}` }, h("span", { class: "dot", "aria-hidden": "true" }), stateWords(state));
}

// A picture of the file where it has one, else a sign of its kind. Pictures are fetched when they come into sight.
const wanted = new Map();
let fetching = 0;
const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    sight.unobserve(entry.target);
    wanted.get(entry.target)?.();
    wanted.delete(entry.target);
  }
}, { rootMargin: "200px" });

export function tile(file) {
  const kind = family(file.detected_mime ?? file.mime);
  const element = h("span", { class: `tile ${kind}` }, icon(kind, 22));
  if (file.status !== "ready" || !["image", "pdf"].includes(kind)) return element;
  const load = async () => {
    if (fetching >= 4) {
      setTimeout(load, 120);
      return;
    }
    fetching += 1;
    try {
      const picture = h("img", { alt: "", src: await link(file.file_id, "thumbnail", file.generation) });
      await picture.decode();
      fill(element, picture);
    } catch { /* the sign stays */ }
    fetching -= 1;
  };
  wanted.set(element, load);
  sight.observe(element);
  return element;
}

class Files {
  constructor({ main, showProblem }) {
    Object.assign(this, { main, showProblem, files: [], cursor: null, status: "", rows: new Map(), closed: false, loaded: false, pages: 1 });
    this.onUploaded = () => this.refresh();
    this.onSight = () => { if (!document.hidden) this.refresh(); };
    bus.addEventListener("uploaded", this.onUploaded);
    document.addEventListener("visibilitychange", this.onSight);
    this.draw();
    this.refresh();
  }

  draw() {
    this.search = h("input", { type: "search", id: "search", placeholder: "Search by name", autocomplete: "off", "aria-label": "Search loaded files by name",
      "aria-keyshortcuts": "/", oninput: () => this.render() });
    this.filters = h("div", { class: "chips", role: "group", "aria-label": "Status" }, FILTERS.map(([value, label]) =>
      h("button", { type: "button", class: "chip", "aria-pressed": String(value === this.status), data: { status: value }, text: label,
        onclick: () => this.filter(value) })));
    const visibility = h("select", { id: "visibility", onchange: () => { uploads.visibility = visibility.value; } },
      [["private", "Private"], ["internal", "Internal"], ["public", "Public"]].map(([value, label]) => h("option", { value, text: label })));
    visibility.value = uploads.visibility;
    this.drop = h("div", { class: "drop" }, h("span", { class: "drop-sign" }, icon("upload", 24)),
      h("div", { class: "drop-words" }, h("p", { class: "drop-title", text: "Drop files anywhere, or paste them" }),
        h("p", { class: "note", text: "PDFs, pictures, sound, office documents and text. They go straight to storage." })),
      h("div", { class: "drop-actions" }, h("label", { class: "note", for: "visibility", text: "Visible to" }), visibility,
        button("Choose files", { kind: "primary", "aria-keyshortcuts": "u", onclick: () => uploads.choose() })));
    this.list = h("ul", { class: "files", "aria-label": "Files", "aria-busy": "true" });
    this.note = h("div", { class: "below" });
    this.count = h("p", { class: "note", role: "status" });
    fill(this.main, h("div", { class: "page" }, h("h1", { text: "Files" }), this.drop,
      h("div", { class: "toolbar" }, this.filters, h("div", { class: "search" }, icon("search"), this.search)), this.count, this.list, this.note));
    fill(this.list, Array.from({ length: 4 }, () => h("li", { class: "row-ghost", "aria-hidden": "true" })));
  }

  filter(status) {
    this.status = status;
    this.pages = 1;
    for (const chip of this.filters.children) chip.setAttribute("aria-pressed", String(chip.dataset.status === status));
    this.refresh();
  }

  path(cursor) {
    const query = new URLSearchParams({ tenant_id: session.tenant, limit: PAGE });
    if (this.status) query.set("status", this.status);
    if (cursor) query.set("cursor", cursor);
    return `/v1/files?${query}`;
  }

  async refresh() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    clearTimeout(this.timer);
    try {
      const files = [];
      let cursor = null;
      for (let page = 0; page < this.pages; page += 1) {
        const answer = await get(this.path(cursor));
        files.push(...answer.files);
        cursor = answer.next_cursor;
        if (!cursor) break;
      }
      if (this.closed || turn !== this.turn) return;
      Object.assign(this, { files, cursor, loaded: true, problem: null });
    } catch (problem) {
      if (this.closed || turn !== this.turn) return;
      this.problem = problem;
    }
    this.render();
    const busy = this.files.some((file) => file.status === "processing");
    this.timer = setTimeout(() => { if (!document.hidden) this.refresh(); }, busy ? BUSY_MS : QUIET_MS);
  }

  row(file) {
    const stamp = `${file.status} ${file.updated_at}`;
    const kept = this.rows.get(file.file_id);
    if (kept?.stamp === stamp) return kept.element;
    const element = h("li", {}, h("a", { class: "file", href: `#/files/${file.file_id}` }, tile(file),
      h("span", { class: "file-words" }, h("span", { class: "file-name", text: file.filename ?? "Unnamed" }),
        h("span", { class: "file-facts" }, h("span", { text: bytes(file.size_bytes) }), h("span", { text: file.detected_mime ?? file.mime }),
          ago(file.created_at))),
      pill(file.status)));
    this.rows.set(file.file_id, { stamp, element });
    return element;
  }

  render() {
    const words = this.search.value.trim().toLowerCase();
    const shown = this.files.filter((file) => !words || (file.filename ?? "").toLowerCase().includes(words));
    const elements = shown.map((file) => this.row(file));
    this.list.setAttribute("aria-busy", "false");
    if (elements.length !== this.list.children.length || elements.some((element, i) => element !== this.list.children[i])) {
      const focused = document.activeElement?.closest?.(".files a")?.getAttribute("href");
      fill(this.list, elements);
      if (focused) this.list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    }
    this.count.textContent = this.loaded ? `${shown.length}${this.cursor ? "+" : ""} ${shown.length === 1 ? "file" : "files"}` : "";
    this.drop.classList.toggle("large", this.loaded && this.files.length === 0 && !this.status);
    fill(this.note, this.below(shown, words));
  }

  below(shown, words) {
    if (this.problem && !this.loaded) {
      const { title, advice } = explain(this.problem.code);
      return h("div", { class: "callout bad", role: "alert" }, h("strong", { text: title }), h("p", { text: advice }),
        button("Try again", { onclick: () => this.refresh() }));
    }
    const more = this.cursor && button("Load more", { onclick: () => { this.pages += 1; this.refresh(); } });
    if (this.loaded && shown.length === 0) {
      const text = words ? `No loaded file has “${words}” in its name.` : this.status ? `No files are ${stateWords(this.status).toLowerCase()}.`
        : "No files yet. Drop one above to see what comes out of it.";
      return h("div", { class: "empty" }, h("p", { text }), more);
    }
    return more;
  }

  key(event) {
    if (event.key === "/") {
      this.search.focus();
      return true;
    }
    if (event.key !== "j" && event.key !== "k") return false;
    const links = [...this.list.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    const next = at < 0 ? (event.key === "j" ? 0 : links.length - 1) : at + (event.key === "j" ? 1 : -1);
    links[Math.min(links.length - 1, Math.max(0, next))]?.focus();
    return true;
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    bus.removeEventListener("uploaded", this.onUploaded);
    document.removeEventListener("visibilitychange", this.onSight);
  }
}

export const filesView = (context) => new Files(context);

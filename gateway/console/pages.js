// Text beside the page it stands on: the page's picture with a box for each word; while there is none, the words at
// their places. Boxes are [text, left, top, right, bottom], of OCR with confidence and line.
import { announce, button, clamp, fill, h, icon, svg } from "./dom.js";
import { pagePictures } from "./pictures.js";

const SURE = 60;

// A PDF's words lie on the page as it is turned, its size is told before that.
function sizeOf(page, native) {
  const size = [Number(page.width) || 612, Number(page.height) || 792];
  return native && page.rotation % 180 !== 0 ? size.reverse() : size;
}

function readPages(pages, ocr) {
  const list = (source) => (Array.isArray(source) ? source : source?.pages) ?? [];
  const recognised = new Map(list(ocr).map((page) => [page.page, page]));
  const numbers = list(pages).length ? list(pages) : list(ocr);
  return numbers.map((page, i) => {
    const other = recognised.get(page.page ?? i + 1);
    const best = other?.words?.length && !(page.words?.length && page.source !== "ocr" && page.grade !== "bad") ? other : page;
    const [width, height] = sizeOf(best, best !== other && page.rotation !== undefined);
    return {
      number: page.page ?? i + 1, label: page.label || String(page.page ?? i + 1), width, height,
      source: best === other ? "ocr" : best.source ?? "native", error: page.error ?? null,
      words: (best.words ?? []).filter((word) => Array.isArray(word) && word.length >= 5).map(([text, left, top, right, bottom, sure, line]) =>
        ({ text: String(text), left: +left, top: +top, right: +right, bottom: +bottom, sure: sure ?? 100, line })),
    };
  });
}

// Words in reading order become lines: by their number where OCR gave one, else where the next word is not beside the last.
function linesOf(words) {
  const lines = [];
  let last = null;
  words.forEach((word, index) => {
    const beside = last && (word.line !== undefined ? word.line === last.line
      : Math.abs((word.top + word.bottom - last.top - last.bottom) / 2) < 0.6 * Math.max(1, last.bottom - last.top) && word.left >= last.left);
    if (!beside) lines.push([]);
    lines[lines.length - 1].push(index);
    last = word;
  });
  return lines;
}

class Pages {
  // `picture` is of the first page; of a document, further ones are made when they are looked at.
  constructor({ pages, ocr, picture, isPicture, name, file }) {
    this.pages = readPages(pages, ocr);
    Object.assign(this, { picture, name, at: 0, hits: [], hit: -1, boxes: true, mode: "picture" });
    if (!isPicture) this.pictures = pagePictures(() => this.pictured());
    this.draw();
    if (this.pictures) this.pictures.update(file);
    this.show(0);
  }

  draw() {
    const many = this.pages.length > 1;
    this.number = h("input", { type: "number", class: "page-number", min: 1, max: this.pages.length, value: 1, "aria-label": "Page",
      onchange: () => this.show(Number(this.number.value) - 1) });
    this.before = button("Previous page", { icon: "back", compact: true, kind: "ghost", onclick: () => this.show(this.at - 1) });
    this.after = button("Next page", { icon: "next", compact: true, kind: "ghost", onclick: () => this.show(this.at + 1) });
    this.search = h("input", { type: "search", placeholder: "Search the text", "aria-label": "Search the text", "aria-keyshortcuts": "/", autocomplete: "off",
      oninput: () => this.find(), onkeydown: (event) => { if (event.key === "Enter") this.step(event.shiftKey ? -1 : 1); } });
    this.found = h("span", { class: "note found", role: "status" });
    this.modes = h("div", { class: "chips", role: "group", "aria-label": "How the page is shown" }, [["picture", "Picture"], ["words", "Words"]].map(([mode, label]) =>
      h("button", { type: "button", class: "chip", data: { mode }, text: label, onclick: () => { this.mode = mode; this.show(this.at, true); } })));
    this.switch = h("button", { type: "button", class: "chip", "aria-pressed": "true", text: "Boxes", onclick: () => {
      this.boxes = !this.boxes;
      this.switch.setAttribute("aria-pressed", String(this.boxes));
      this.sheet.classList.toggle("plain", !this.boxes);
    } });
    this.pending = h("span", { class: "note", role: "status" });
    this.sheet = h("div", { class: "sheet" });
    this.text = h("div", { class: "page-text", tabindex: "0", role: "region", "aria-label": "Text of the page" });
    this.element = h("div", { class: "pages" },
      h("div", { class: "pages-bar" },
        many && h("div", { class: "pager" }, this.before, this.number, h("span", { class: "note", text: `of ${this.pages.length}` }), this.after),
        h("div", { class: "chips" }, this.modes, this.switch), this.pending,
        h("div", { class: "search" }, icon("search"), this.search), this.found),
      h("div", { class: "pages-split" }, this.sheet, this.text));
    for (const side of [this.sheet, this.text]) {
      side.addEventListener("pointerover", (event) => this.light(event.target.closest?.("[data-word]")?.dataset.word));
      side.addEventListener("pointerleave", () => this.light());
      side.addEventListener("click", (event) => {
        const word = event.target.closest?.("[data-word]")?.dataset.word;
        if (word === undefined) return;
        this.light(word);
        const twin = (side === this.sheet ? this.text : this.sheet).querySelector(`[data-word="${Number(word)}"]`);
        twin?.scrollIntoView({ block: "nearest", inline: "nearest" });
      });
    }
  }

  pictureOf(at) { return this.pictures?.known(this.pages[at].number) ?? (at === 0 ? this.picture : null); }

  // The file as it is now: a picture may have come.
  update(file) { this.pictures?.update(file); }

  pictured() {
    const { number } = this.pages[this.at];
    if (this.at > 0 || this.pictures.covers(number)) this.pictures.want(number);
    this.pending.textContent = this.pictures.waits(number) ? "Drawing the page" : "";
    if (this.pictureOf(this.at) !== this.drawn) this.show(this.at, true);
  }

  close() { this.pictures?.close(); }

  show(at, again = false) {
    const next = clamp(at || 0, 0, this.pages.length - 1);
    if (!again && next !== this.at) announce(`Page ${next + 1} of ${this.pages.length}`);
    this.at = next;
    const page = this.pages[next];
    this.number.value = next + 1;
    this.before.disabled = next === 0;
    this.after.disabled = next === this.pages.length - 1;
    this.drawn = this.pictureOf(next);
    this.modes.hidden = !this.drawn;
    const mode = this.drawn ? this.mode : "words";
    for (const chip of this.modes.children) chip.setAttribute("aria-pressed", String(chip.dataset.mode === mode));
    this.drawSheet(page, mode);
    this.drawText(page);
    this.mark();
    if (this.pictures && !again) this.pictured();
  }

  drawSheet(page, mode) {
    const drawing = svg("svg", { viewBox: `0 0 ${page.width} ${page.height}`, class: `sheet-page ${mode}`, role: "img",
      "aria-label": `Page ${page.label} of ${this.name}, ${page.words.length} words` });
    if (mode === "picture") drawing.append(svg("image", { href: this.drawn, width: page.width, height: page.height, preserveAspectRatio: "none" }));
    page.words.forEach((word, index) => {
      const width = Math.max(0.5, word.right - word.left);
      const height = Math.max(0.5, word.bottom - word.top);
      const group = svg("g", { "data-word": index, class: word.sure < SURE ? "word unsure" : "word" },
        svg("rect", { x: word.left, y: word.top, width, height, rx: Math.min(2, height / 6) }));
      if (mode === "words") {
        group.append(svg("text", { x: word.left, y: word.top + height * 0.8, "font-size": height * 0.82, textLength: width, lengthAdjust: "spacingAndGlyphs" }, word.text));
      }
      drawing.append(group);
    });
    this.sheet.classList.toggle("plain", !this.boxes);
    this.sheet.classList.toggle("wide", page.width > page.height * 1.2);
    fill(this.sheet, drawing);
  }

  drawText(page) {
    if (page.words.length === 0) {
      fill(this.text, h("p", { class: "note", text: page.error ? "This page could not be read." : "There is no text on this page." }));
      return;
    }
    const low = page.source === "ocr" ? page.words.filter((word) => word.sure < SURE).length : 0;
    fill(this.text, page.source === "ocr" && h("p", { class: "note", text: `Recognised${low ? `; ${low} uncertain ${low === 1 ? "word is" : "words are"} underlined` : ""}` }),
      linesOf(page.words).map((line) => h("p", { class: "line" }, line.map((index) => [
        h("span", { data: { word: index }, class: page.words[index].sure < SURE ? "unsure" : undefined, text: page.words[index].text }), " "]))));
  }

  light(word) {
    if (word === this.lit) return;
    for (const element of this.element.querySelectorAll(".lit")) element.classList.remove("lit");
    this.lit = word;
    if (word === undefined) return;
    for (const element of this.element.querySelectorAll(`[data-word="${Number(word)}"]`)) element.classList.add("lit");
  }

  // ---- search ----

  find() {
    const wanted = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.hits = [];
    this.hit = -1;
    if (wanted.length > 0) {
      this.pages.forEach((page, at) => {
        for (let i = 0; i + wanted.length <= page.words.length; i += 1) {
          if (wanted.every((part, k) => page.words[i + k].text.toLowerCase().includes(part))) this.hits.push({ at, from: i, to: i + wanted.length });
        }
      });
      const here = this.hits.findIndex((entry) => entry.at >= this.at);
      this.hit = this.hits.length ? Math.max(0, here) : -1;
      if (this.hit >= 0 && this.hits[this.hit].at !== this.at) this.show(this.hits[this.hit].at);
    }
    this.found.textContent = wanted.length === 0 ? "" : this.hits.length === 0 ? "Not found" : `${this.hit + 1} of ${this.hits.length}`;
    this.mark();
  }

  step(by) {
    if (this.hits.length === 0) return;
    this.hit = (this.hit + by + this.hits.length) % this.hits.length;
    this.found.textContent = `${this.hit + 1} of ${this.hits.length}`;
    if (this.hits[this.hit].at !== this.at) this.show(this.hits[this.hit].at);
    else this.mark();
  }

  mark() {
    for (const element of this.element.querySelectorAll(".hit")) element.classList.remove("hit", "now");
    this.hits.forEach((entry, i) => {
      if (entry.at !== this.at) return;
      for (let word = entry.from; word < entry.to; word += 1) {
        for (const element of this.element.querySelectorAll(`[data-word="${word}"]`)) {
          element.classList.add("hit");
          element.classList.toggle("now", i === this.hit);
        }
      }
    });
    this.text.querySelector(".now")?.scrollIntoView({ block: "nearest" });
  }

  key(event) {
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      this.show(this.at + (event.key === "ArrowRight" ? 1 : -1));
      return true;
    }
    if (event.key === "/") {
      this.search.focus();
      return true;
    }
    return false;
  }
}

export const pagesPreview = (options) => new Pages(options);

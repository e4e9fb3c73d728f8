// A sound with its waveform and, where there is one, its transcript: click either to hear it from there.
import { button, clamp, duration, fill, h, icon } from "./dom.js";

const RATES = ["0.75", "1", "1.25", "1.5", "2"];

// Least and most of each point over all channels, as shares of full scale.
function readPeaks(waveform) {
  const { data, bits = 16, channels = 1, length = 0 } = waveform ?? {};
  if (!Array.isArray(data) || length < 1) return { peaks: [], seconds: 0 };
  const full = 2 ** (bits - 1);
  const peaks = [];
  for (let i = 0; i < length; i += 1) {
    let least = 0;
    let most = 0;
    for (let c = 0; c < channels; c += 1) {
      least = Math.min(least, data[2 * (i * channels + c)] / full);
      most = Math.max(most, data[2 * (i * channels + c) + 1] / full);
    }
    peaks.push([least, most]);
  }
  return { peaks, seconds: (length * waveform.samples_per_pixel) / waveform.sample_rate || 0 };
}

function readLines(transcript) {
  return (transcript?.segments ?? []).filter((line) => line.text).map((line) => ({ text: line.text, from: line.start_ms / 1000,
    words: (line.words ?? []).map((word) => ({ text: word.word, from: word.start_ms / 1000, to: word.end_ms / 1000 })) }));
}

class Audio_ {
  constructor({ waveform, transcript, url, name }) {
    Object.assign(this, readPeaks(waveform), { lines: readLines(transcript), hasTranscript: Boolean(transcript), name });
    this.sound = h("audio", { src: url, preload: "metadata" });
    this.draw();
    this.listen();
  }

  draw() {
    this.toggle = h("button", { type: "button", class: "play", "aria-label": "Play", onclick: () => this.playPause() }, icon("play", 24));
    this.time = h("span", { class: "clock", text: "0:00" });
    this.canvas = h("canvas", { class: "wave", role: "slider", tabindex: "0", "aria-label": `Position in ${this.name}`, "aria-valuemin": "0" });
    const rate = h("select", { "aria-label": "Speed", onchange: () => { this.sound.playbackRate = Number(rate.value); } },
      RATES.map((value) => h("option", { value, text: `${value}×` })));
    rate.value = "1";
    this.fault = h("p", { class: "note", role: "status" });
    this.list = h("ol", { class: "transcript", "aria-label": "Transcript" }, this.lines.map((line) => h("li", {},
      h("button", { type: "button", onclick: () => this.seek(line.from, true) }, h("span", { class: "clock", text: duration(line.from) }),
        h("span", {}, line.words.length > 0 ? line.words.map((word) => [h("span", { class: "said", text: word.text }), " "]) : line.text)))));
    this.spoken = this.lines.map((line, i) => [...this.list.children[i].querySelectorAll(".said")]);
    this.element = h("div", { class: "player" }, this.sound, this.canvas,
      h("div", { class: "player-bar" }, this.toggle, this.time, h("span", { class: "grow" }), rate), this.fault,
      this.lines.length > 0 ? h("section", {}, h("h2", { text: "Transcript" }), this.list)
        : this.hasTranscript && h("p", { class: "empty", text: "No speech was heard." }));
  }

  length() { return Number.isFinite(this.sound.duration) && this.sound.duration > 0 ? this.sound.duration : this.seconds; }

  listen() {
    const { sound, canvas } = this;
    for (const name of ["play", "pause", "ended"]) sound.addEventListener(name, () => this.showState());
    for (const name of ["timeupdate", "loadedmetadata", "seeked"]) sound.addEventListener(name, () => this.tick());
    sound.addEventListener("error", () => { this.fault.textContent = "This browser can't play this format. Download it to hear it."; });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.seekTo(event);
    });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) this.seekTo(event); });
    canvas.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 5, ArrowUp: 5, ArrowLeft: -5, ArrowDown: -5, PageUp: 30, PageDown: -30 }[event.key];
      const to = { Home: 0, End: this.length() }[event.key] ?? (by === undefined ? undefined : sound.currentTime + by);
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      this.seek(to);
    });
    this.size = new ResizeObserver(() => this.paint());
    this.size.observe(canvas);
    this.onTheme = () => this.paint();
    window.addEventListener("themechange", this.onTheme);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", this.onTheme);
    this.tick();
  }

  seekTo(event) {
    const box = this.canvas.getBoundingClientRect();
    this.seek(((event.clientX - box.left) / box.width) * this.length());
  }

  seek(seconds, play = false) {
    this.sound.currentTime = clamp(seconds, 0, Math.max(0, this.length() - 0.01));
    if (play) this.sound.play().catch(() => {});
    this.tick();
  }

  playPause() {
    if (this.sound.paused) this.sound.play().catch(() => {});
    else this.sound.pause();
  }

  showState() {
    const playing = !this.sound.paused && !this.sound.ended;
    this.toggle.setAttribute("aria-label", playing ? "Pause" : "Play");
    fill(this.toggle, icon(playing ? "pause" : "play", 24));
    if (playing && !this.frame) this.animate();
  }

  animate() {
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this.tick();
      if (!this.sound.paused && !this.closed) this.animate();
    });
  }

  tick() {
    const now = this.sound.currentTime;
    const all = this.length();
    this.time.textContent = `${duration(now)} / ${duration(all)}`;
    this.canvas.setAttribute("aria-valuemax", String(Math.round(all)));
    this.canvas.setAttribute("aria-valuenow", String(Math.round(now)));
    this.canvas.setAttribute("aria-valuetext", `${duration(now)} of ${duration(all)}`);
    let at = -1;
    this.lines.forEach((line, i) => { if (now >= line.from - 0.01) at = i; });
    if (at !== this.line) {
      this.list.querySelector("[aria-current]")?.removeAttribute("aria-current");
      this.list.children[at]?.firstChild.setAttribute("aria-current", "true");
      if (!this.sound.paused) this.list.children[at]?.scrollIntoView({ block: "nearest" });
      this.line = at;
    }
    const word = at < 0 ? null : this.spoken[at][this.lines[at].words.findIndex((entry) => now >= entry.from && now < entry.to)] ?? null;
    if (word !== this.word) {
      this.word?.classList.remove("now");
      word?.classList.add("now");
      this.word = word;
    }
    this.paint();
  }

  paint() {
    const { canvas, peaks } = this;
    const scale = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale);
    const height = Math.round(canvas.clientHeight * scale);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    const step = 3 * scale;
    const bar = 2 * scale;
    const played = this.length() ? (this.sound.currentTime / this.length()) * width : 0;
    const top = Math.max(0.05, peaks.reduce((most, [low, high]) => Math.max(most, high, -low), 0));
    context.clearRect(0, 0, width, height);
    for (let x = 0; x < width; x += step) {
      const from = Math.floor((x / width) * peaks.length);
      const to = Math.max(from + 1, Math.floor(((x + step) / width) * peaks.length));
      let reach = 0;
      for (let i = from; i < to && i < peaks.length; i += 1) reach = Math.max(reach, peaks[i][1], -peaks[i][0]);
      const tall = Math.max(2 * scale, (reach / top) * height * 0.92);
      context.fillStyle = x <= played && played > 0 ? style.accentColor : style.color;
      context.fillRect(x, (height - tall) / 2, bar, tall);
    }
    context.fillStyle = style.accentColor;
    context.fillRect(clamp(played, 0, width - 2 * scale), 0, 2 * scale, height);
  }

  key(event) {
    if (event.key !== " " || event.target.closest?.("button, a")) return false;
    this.playPause();
    return true;
  }

  close() {
    this.closed = true;
    this.sound.pause();
    this.sound.removeAttribute("src");
    this.sound.load();
    this.size.disconnect();
    window.removeEventListener("themechange", this.onTheme);
    this.scheme.removeEventListener("change", this.onTheme);
  }
}

export const audioPreview = (options) => new Audio_(options);

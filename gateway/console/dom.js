// Building elements. Everything from the API is untrusted: it only ever becomes text, never markup.
const SVG = "http://www.w3.org/2000/svg";

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value;
    else if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren();
  return append(element, children);
}

// Fills anew; the focus goes back to what has the same data-key.
export function redraw(element, ...children) {
  const key = element.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  fill(element, ...children);
  if (key) element.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return append(element, children);
}

const ICONS = {
  upload: "M12 16V4m0 0L7 9m5-5 5 5M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3",
  download: "M12 4v12m0 0-5-5m5 5 5-5M4 20h16",
  back: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  retry: "M4 12a8 8 0 1 0 2.6-5.9M4 4v4h4",
  trash: "M4 7h16M9 7V4h6v3m-8 0 1 13h8l1-13",
  close: "M6 6l12 12M18 6 6 18",
  pause: "M8 5v14M16 5v14",
  play: "M7 4v16l13-8z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14m5 12 4 4",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2m0 16v2M2 12h2m16 0h2M5 5l1.4 1.4M17.6 17.6 19 19M19 5l-1.4 1.4M6.4 17.6 5 19",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
  help: "M9.5 9.5a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.7M12 17v.100M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  leave: "M14 4h5a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1h-5M10 8l-4 4 4 4m-4-4h10",
  check: "M5 12.5 10 17 19 7.5",
  alert: "M12 8v5m0 3.5v.100M12 3 2.5 20h19z",
  file: "M6 3h8l5 5v13H6zM14 3v5h5",
  pdf: "M6 3h8l5 5v13H6zM14 3v5h5M9 13h6M9 16.5h4",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5v.100",
  audio: "M4 10v4M8 6v12M12 9v6M16 4v16M20 10v4",
  text: "M6 3h12v18H6zM9 8h6M9 12h6M9 16h4",
  queue: "M4 6h16M4 12h16M4 18h10",
  service: "M4 5h16v6H4zM4 13h16v6H4zM7.500 8v.100M7.500 16v.100M11 8h6M11 16h6",
  people: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7M3 20c0-3.5 2.5-6 6-6s6 2.5 6 6M16 4.5a3.5 3.5 0 0 1 0 6.5M18 14.5c2 .8 3 2.8 3 5.5",
};

export function icon(name, size = 18) {
  return svg("svg", { viewBox: "0 0 24 24", width: size, height: size, class: "icon", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: ICONS[name] ?? ICONS.file }));
}

export function button(label, { icon: name, kind = "", compact = false, ...rest } = {}) {
  return h("button", { type: "button", class: `button ${kind} ${compact ? "compact" : ""}`.trim(),
    "aria-label": compact ? label : undefined, title: compact ? label : undefined, ...rest },
  name && icon(name), compact ? null : h("span", { text: label }));
}

export function announce(text) {
  const line = h("p", { text });
  const log = document.getElementById("announcer");
  log.append(line);
  while (log.children.length > 5) log.firstChild.remove();
}

export function toast(text, kind = "") {
  const note = h("div", { class: `toast ${kind}` }, icon(kind === "bad" ? "alert" : "check"), h("span", { text }));
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), kind === "bad" ? 8000 : 4000);
}

// A dialog with the title, any content and actions; resolves with the value of the action, or null.
export function dialog(title, content, actions) {
  return new Promise((resolve) => {
    const id = `dialog-${Math.floor(performance.now())}`;
    const box = h("dialog", { class: "dialog", "aria-labelledby": id },
      h("h2", { id, text: title }), content,
      h("div", { class: "dialog-actions" }, actions.map(({ label, value, kind }) =>
        button(label, { kind, onclick: () => box.close(value) }))));
    box.addEventListener("close", () => { box.remove(); resolve(box.returnValue || null); });
    document.body.append(box);
    box.showModal();
  });
}

export async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = h("textarea", { class: "hidden-text", "aria-label": "Link", value: text });
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("The browser does not allow copying here.");
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytes(count) {
  let unit = 0;
  let value = Number(count);
  if (!Number.isFinite(value)) return "";
  while (value >= 1000 && unit < UNITS.length - 1) { value /= 1000; unit += 1; }
  return `${unit > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const part = (value) => String(value).padStart(2, "0");
  const head = whole >= 3600 ? `${Math.floor(whole / 3600)}:${part(Math.floor(whole / 60) % 60)}` : `${Math.floor(whole / 60)}`;
  return `${head}:${part(whole % 60)}`;
}

export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  if (s < 86400) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

// A <time> with the exact moment as its title.
export function ago(stamp) {
  const moment = new Date(stamp);
  if (!stamp || Number.isNaN(moment.getTime())) return h("span", { text: "–" });
  const seconds = (Date.now() - moment.getTime()) / 1000;
  const text = seconds < 5 ? "just now" : seconds < -5 ? `in ${span(-seconds)}` : `${span(seconds)} ago`;
  return h("time", { datetime: stamp, title: moment.toLocaleString(), text });
}

export const clamp = (value, least, most) => Math.min(most, Math.max(least, value));

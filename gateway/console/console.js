// The shell: signing in, the frame around the views, the address bar, keys, look, and the state of the connection.
import { announce, button, dialog, fill, h, icon, svg, toast } from "./dom.js";
import { bus, call, connection, forgetLinks, get, readClaims, session } from "./api.js";
import { stopAll } from "./live.js";
import { signIn } from "./signin.js";
import { uploads } from "./uploads.js";
import { filesView } from "./files.js";
import { fileView } from "./file.js";
import { membersView } from "./members.js";
import { jobsView } from "./jobs.js";
import { adminView } from "./admin.js";
import { explain } from "./words.js";

const app = document.getElementById("app");
const state = { tenants: [], admin: false, view: null, main: null, inside: false, expiry: 0 };

// A view is shown where `for` says so: of a tenant, of those who manage its jobs, of those who run the service.
const VIEWS = [
  { name: "files", label: "Files", icon: "file", open: filesView, for: () => session.tenant },
  { name: "jobs", label: "Jobs", icon: "queue", open: jobsView, for: () => ["owner", "admin", "internal"].includes(roleHere()) },
  { name: "members", label: "Members", icon: "people", open: membersView, for: () => session.tenant },
  { name: "service", label: "Service", icon: "service", open: adminView, for: () => state.admin },
];
const views = () => VIEWS.filter((view) => view.for());
const roleHere = () => state.tenants.find((tenant) => tenant.id === session.tenant)?.role;
const SHORTCUTS = [
  ["/", "Search"], ["j  k", "Next and previous file"], ["Enter", "Open the file"], ["Esc", "Back, or close"], ["u", "Upload files"],
  ["←  →", "Previous and next page of a document"], ["Space", "Play or pause a sound"], ["g f", "Files"], ["g j", "Jobs"],
  ["g m", "Members"], ["g s", "Service"], ["t", "Light or dark"], ["?", "This help"],
];

// ---- look ----

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function themeButton() {
  const toggle = button("Light or dark", { icon: isDark() ? "sun" : "moon", compact: true, kind: "ghost", onclick: switchTheme });
  toggle.id = "theme";
  return toggle;
}

function switchTheme() {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try { localStorage.setItem("filemill-theme", next); } catch { /* only for this page, then */ }
  const toggle = document.getElementById("theme");
  if (toggle) fill(toggle, icon(next === "dark" ? "sun" : "moon"));
  window.dispatchEvent(new Event("themechange"));
}

export function mark(size = 28) {
  return svg("svg", { viewBox: "0 0 32 32", width: size, height: size, class: "mark", "aria-hidden": "true" },
    svg("rect", { width: 32, height: 32, rx: 8 }),
    svg("path", { d: "M16 16 9 9M16 16l7-7M16 16l-7 7M16 16l7 7" }), svg("circle", { cx: 16, cy: 16, r: 2.6 }));
}

// ---- the frame ----

function tenantPicker() {
  const select = h("select", { id: "tenant", "aria-label": "Tenant", onchange: () => chooseTenant(select.value) },
    state.tenants.map((tenant) => h("option", { value: tenant.id, text: tenant.name })),
    !session.tenant && h("option", { value: "none", text: "No tenant" }), h("option", { value: "", text: "New tenant…" }));
  select.value = session.tenant ?? "none";
  return select;
}

async function chooseTenant(id) {
  if (id) {
    session.tenant = id;
    session.save();
    drawFrame();
    location.hash = "#/files";
    route();
    return;
  }
  document.getElementById("tenant").value = session.tenant ?? "none";
  await newTenant();
}

async function newTenant() {
  const name = h("input", { id: "tenant-name", required: true, maxlength: 200, autocomplete: "off", value: state.tenants.length ? "" : "My files" });
  const chosen = await dialog("New tenant", h("div", { class: "field" }, h("label", { for: "tenant-name", text: "Name" }), name,
    h("p", { class: "note", text: "Files and members belong to a tenant. You become its owner." })),
  [{ label: "Cancel", value: "" }, { label: "Create", value: "create", kind: "primary" }]);
  if (chosen !== "create" || !name.value.trim()) return;
  try {
    const made = await call("POST", "/v1/tenants/bootstrap", { name: name.value.trim() });
    session.tenant = made.tenant_id;
    session.save();
    await start();
  } catch (problem) {
    showProblem(problem);
  }
}

export function showProblem(problem) {
  const { title, advice } = explain(problem.code);
  toast(`${title}. ${problem.detail && problem.code === "bad_request" ? problem.detail : advice}`, "bad");
}

function drawFrame() {
  state.main = h("main", { id: "main", tabindex: "-1" });
  const nav = h("nav", { class: "tabs", "aria-label": "Views" }, views().map((view) =>
    h("a", { href: `#/${view.name}`, data: { view: view.name } }, icon(view.icon), h("span", { text: view.label }))));
  fill(app,
    h("header", { class: "top" },
      h("a", { class: "brand", href: "#/files", "aria-label": "Filemill, files" }, mark(), h("span", { text: "Filemill" })),
      tenantPicker(), nav,
      h("div", { class: "top-actions" },
        h("span", { id: "connection", class: "connection", role: "status" }),
        button("Keyboard shortcuts", { icon: "help", compact: true, kind: "ghost", onclick: showHelp }),
        themeButton(),
        button("Sign out", { icon: "leave", compact: true, kind: "ghost", onclick: () => signOut() }))),
    state.main, uploads.panel);
  drawConnection();
}

function drawConnection() {
  const place = document.getElementById("connection");
  if (!place) return;
  const lost = connection.state === "lost";
  place.className = `connection ${lost ? "lost" : "ok"}`;
  fill(place, h("span", { class: "dot", "aria-hidden": "true" }), h("span", { text: lost ? "Connection lost, trying again" : "Connected" }));
}

bus.addEventListener("connection", (event) => {
  drawConnection();
  announce(event.detail === "lost" ? "Connection lost. Trying again." : "Connection is back.");
  if (event.detail === "back") {
    toast("Connection is back");
    state.view?.refresh?.();
    uploads.resumeAfterOutage();
  }
});

function showHelp() {
  dialog("Keyboard shortcuts", h("dl", { class: "keys" }, SHORTCUTS.map(([keys, what]) => [
    h("dt", {}, keys.split("  ").map((key) => h("kbd", { text: key }))), h("dd", { text: what })])),
  [{ label: "Close", value: "", kind: "primary" }]);
}

// ---- signing in and out ----

async function start() {
  const claims = readClaims(session.token ?? "");
  const [answer, admin] = await Promise.all([get("/v1/tenants"), get("/v1/admin/queue").then(() => true, () => false)]);
  state.tenants = answer.tenants;
  state.admin = admin;
  state.inside = true;
  session.user = claims.sub ?? session.user;
  if (!state.tenants.some((tenant) => tenant.id === session.tenant)) session.tenant = state.tenants[0]?.id ?? null;
  session.save();
  clearTimeout(state.expiry);
  if (claims.exp) state.expiry = setTimeout(() => signOut("expired"), Math.min(claims.exp * 1000 - Date.now(), 2 ** 31 - 1));
  if (!session.tenant && !state.admin) {
    drawWelcome();
    return;
  }
  drawFrame();
  route();
}

function drawWelcome() {
  fill(app, h("main", { id: "main", class: "sign-in", tabindex: "-1" }, mark(48), h("h1", { text: "Welcome to Filemill" }),
    h("p", { text: "You are not a member of any tenant yet. Make one of your own, or ask an owner to add you." }),
    h("p", { class: "note" }, "Your user id: ", h("code", { text: session.user ?? "" })),
    h("div", { class: "row centre" }, button("Create a tenant", { kind: "primary", onclick: newTenant }),
      button("Sign out", { onclick: () => signOut() }))));
}

export async function enter(token) {
  session.token = token;
  try {
    await start();
  } catch (problem) {
    if (!state.inside) session.clear();
    throw problem;
  }
}

function signOut(reason) {
  clearTimeout(state.expiry);
  state.inside = false;
  state.view?.close?.();
  state.view = null;
  stopAll();
  forgetLinks();
  uploads.reset();
  session.clear();
  signIn(app, { reason, enter, themeButton, mark });
}

bus.addEventListener("signed-out", () => { if (state.inside) signOut("expired"); });

// ---- the address bar ----

function route() {
  if (!session.token || !state.main) return;
  const [, name = "files", id] = location.hash.replace(/^#/, "").split("/");
  const view = views().find((entry) => entry.name === name) ?? views()[0];
  state.view?.close?.();
  for (const tab of app.querySelectorAll(".tabs a")) {
    if (tab.dataset.view === view.name) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  window.scrollTo(0, 0);
  const isFile = view.name === "files" && /^[0-9a-f-]{36}$/.test(id ?? "");
  const context = { main: state.main, role: roleHere(), tenants: state.tenants, showProblem };
  state.view = isFile ? fileView(context, id) : view.open(context);
  state.isFile = isFile;
  document.title = `${isFile ? "File" : view.label} · Filemill`;
}

window.addEventListener("hashchange", () => {
  const code = takeCode();
  if (code) redeem(code);
  else route();
});

// A one-time code leaves the address bar and the history before anything else happens.
function takeCode() {
  const found = /^#code=([A-Za-z0-9_.-]+)$/.exec(location.hash);
  if (!found) return null;
  history.replaceState(null, "", "#/files");
  return found[1];
}

async function redeem(code) {
  try {
    const answer = await call("POST", "/v1/console/session", { code }, { once: true, token: null });
    session.clear();
    await enter(answer.token);
  } catch (problem) {
    if (session.token) showProblem(problem);
    else signIn(app, { reason: problem.code, enter, themeButton, mark });
  }
}

// ---- keys ----

let pending = "";
const typing = (target) => target.closest?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && typing(event.target)) {
    event.target.blur();
    return;
  }
  if (typing(event.target) || !session.token) return;
  const key = pending + event.key;
  pending = event.key === "g" && !pending ? "g " : "";
  const action = {
    "?": showHelp, t: switchTheme, u: () => uploads.choose(),
    "g f": () => { location.hash = "#/files"; }, "g j": () => { location.hash = "#/jobs"; },
    "g m": () => { location.hash = "#/members"; }, "g s": () => { location.hash = "#/service"; },
    Escape: () => { if (state.isFile) location.hash = "#/files"; },
  }[key];
  if (action) {
    event.preventDefault();
    action();
  } else if (state.view?.key?.(event)) {
    event.preventDefault();
  }
});

// ---- files dropped or pasted anywhere ----

let depth = 0;
const carriesFiles = (event) => session.tenant && [...(event.dataTransfer?.types ?? [])].includes("Files");
document.addEventListener("dragenter", (event) => {
  if (!carriesFiles(event)) return;
  depth += 1;
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", () => {
  depth = Math.max(0, depth - 1);
  if (depth === 0) document.body.classList.remove("dropping");
});
document.addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
document.addEventListener("drop", (event) => {
  depth = 0;
  document.body.classList.remove("dropping");
  if (!carriesFiles(event)) return;
  event.preventDefault();
  uploads.add(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (session.tenant && event.clipboardData?.files.length) uploads.add(event.clipboardData.files);
});
window.addEventListener("beforeunload", (event) => { if (uploads.isBusy()) event.preventDefault(); });

document.getElementById("skip").addEventListener("click", () => document.getElementById("main")?.focus());

// ---- begin ----

const code = takeCode();
if (code) {
  redeem(code);
} else if (session.load()) {
  start().catch((problem) => {
    if (problem.status === 401) session.clear();
    if (!state.inside) signIn(app, { reason: problem.code, enter, themeButton, mark });
  });
} else {
  signIn(app, { enter, themeButton, mark });
}

// The API: one call, the session, the state of the connection, and links to bytes. The token is kept in
// sessionStorage, so it goes with the tab.
const KEY = "filemill-session";
const RETRIES = 2;

export class Problem extends Error {
  constructor(status, code, detail, details) {
    super(detail || code);
    Object.assign(this, { status, code, detail, details });
  }
}

export const session = {
  token: null,
  user: null,
  tenant: null,
  load() {
    try { Object.assign(this, JSON.parse(sessionStorage.getItem(KEY) ?? "{}")); } catch { this.clear(); }
    return Boolean(this.token);
  },
  save() {
    sessionStorage.setItem(KEY, JSON.stringify({ token: this.token, user: this.user, tenant: this.tenant }));
  },
  clear() {
    this.token = this.user = this.tenant = null;
    sessionStorage.removeItem(KEY);
  },
};

// The claims of a token, unchecked: only for showing who is signed in and until when.
export function readClaims(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0))));
  } catch {
    return {};
  }
}

export const bus = new EventTarget();
const tell = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }));

// "ok" or "lost"; while lost, /health is asked with growing pauses until it answers.
export const connection = { state: "ok", attempt: 0 };

function lost() {
  if (connection.state === "lost") return;
  connection.state = "lost";
  connection.attempt = 0;
  tell("connection", "lost");
  probe();
}

function probe() {
  const pause = Math.min(10000, 500 * 2 ** connection.attempt) * (0.75 + Math.random() / 2);
  connection.attempt += 1;
  setTimeout(async () => {
    if (connection.state !== "lost") return;
    try {
      const answer = await fetch("/health", { cache: "no-store" });
      if (!answer.ok) throw new Error("not well");
      connection.state = "ok";
      tell("connection", "back");
    } catch {
      probe();
    }
  }, pause);
}

export function connectionLost() { lost(); }

const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function once(method, path, body, { token = session.token, key, signal } = {}) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  let answer;
  try {
    answer = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    lost();
    throw new Problem(0, "network");
  }
  const text = await answer.text().catch(() => "");
  let json = {};
  try { json = text ? JSON.parse(text) : {}; } catch { /* a proxy's own page */ }
  if (answer.ok) return json;
  const problem = new Problem(answer.status, json.error ?? `HTTP ${answer.status}`, json.detail ?? describe(json.details), json.details);
  problem.wait = Number(answer.headers.get("Retry-After")) || 1;
  throw problem;
}

function describe(details) {
  if (!details) return undefined;
  const fields = Object.entries(details.fieldErrors ?? {}).map(([name, words]) => `${name}: ${[].concat(words).join(", ")}`);
  return [...(details.formErrors ?? []), ...fields].join("; ") || undefined;
}

// Reads, and writes that carry a key, are repeated where the server says that it will be back.
export async function call(method, path, body, options = {}) {
  const key = options.key ?? (method === "POST" && !options.once ? randomId() : undefined);
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await once(method, path, body, { ...options, key });
    } catch (problem) {
      const again = problem instanceof Problem && (problem.status === 503 || problem.status === 429) && attempt < RETRIES
        && (method === "GET" || key);
      if (!again) {
        if (problem.status === 401 && (options.token ?? session.token) === session.token) tell("signed-out", problem);
        throw problem;
      }
      await sleep(Math.min(5, problem.wait) * 1000);
    }
  }
}

export const get = (path, options) => call("GET", path, undefined, options);

// Links live for minutes: they are kept for half of that.
const links = new Map();
export async function link(file, kind, generation = "") {
  const path = kind ? `/v1/files/${file}/derivatives/${kind}` : `/v1/files/${file}/download`;
  const name = `${path}?${generation}`;
  const kept = links.get(name);
  if (kept && kept.until > Date.now()) return kept.url;
  const answer = await get(path);
  if (!/^https?:\/\//.test(answer.download_url)) throw new Problem(0, "internal_error");
  // What is encrypted in the store comes from a gateway: this one does, under whatever name the page was opened.
  const { pathname, search } = new URL(answer.download_url);
  const url = pathname === "/v1/content" ? `${location.origin}${pathname}${search}` : answer.download_url;
  links.set(name, { url, until: Date.now() + (answer.expires_in_seconds ?? 600) * 500 });
  return url;
}

// The bytes of a derivative, up to a ceiling.
export async function content(file, kind, generation, { most = 32e6, as = "json" } = {}) {
  const url = await link(file, kind, generation);
  let answer;
  try {
    answer = await fetch(url, { credentials: "omit" });
  } catch {
    throw new Problem(0, "blocked");
  }
  if (!answer.ok) throw new Problem(answer.status, "storage_refused");
  if (Number(answer.headers.get("Content-Length")) > most) throw new Problem(0, "payload_too_large");
  return { json: () => answer.json(), text: () => answer.text(), bytes: () => answer.arrayBuffer() }[as]();
}

export function forgetLinks() { links.clear(); }

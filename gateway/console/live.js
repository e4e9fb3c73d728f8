// News of files by server-sent events, read with fetch because EventSource can't send a token. A browser gives one
// host about six connections, so only a few streams are open; other files are asked for by whoever shows them.
import { session, bus, connectionLost } from "./api.js";

const MOST_STREAMS = 3;
const streams = new Map();

function parse(block) {
  const event = { id: null, kind: "message", data: "" };
  for (const line of block.split("\n")) {
    const [, name, value] = /^(\w*):? ?(.*)$/.exec(line) ?? [];
    if (name === "id") event.id = value;
    else if (name === "event") event.kind = value;
    else if (name === "data") event.data += value;
  }
  return event;
}

class Stream {
  constructor(file) {
    Object.assign(this, { file, last: null, failures: 0, listeners: new Set(), stop: new AbortController(), over: false });
    this.run();
  }

  async run() {
    while (!this.stop.signal.aborted && !this.over) {
      try {
        await this.read();
        this.failures = 0;
      } catch (error) {
        if (this.stop.signal.aborted) return;
        if (error.status && error.status < 500 && error.status !== 429) return;
        this.failures += 1;
        if (!error.status) connectionLost();
      }
      if (!this.over) await this.rest();
    }
  }

  // Backoff with jitter; cut short when the connection is known to be back.
  rest() {
    const pause = Math.min(15000, 400 * 2 ** Math.min(this.failures, 6)) * (0.75 + Math.random() / 2);
    return new Promise((resolve) => {
      const timer = setTimeout(done, pause);
      function back(event) { if (event.detail === "back") done(); }
      function done() {
        clearTimeout(timer);
        bus.removeEventListener("connection", back);
        resolve();
      }
      bus.addEventListener("connection", back);
    });
  }

  async read() {
    const headers = { Authorization: `Bearer ${session.token}`, Accept: "text/event-stream" };
    if (this.last) headers["Last-Event-ID"] = this.last;
    const answer = await fetch(`/v1/files/${this.file}/events`, { headers, signal: this.stop.signal, cache: "no-store" });
    if (!answer.ok) throw Object.assign(new Error("refused"), { status: answer.status });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value;
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      if (rest.length > 1e6) throw new Error("an event without end");
      for (const block of blocks) this.deliver(parse(block));
    }
  }

  deliver(event) {
    if (!event.id) return;
    this.last = event.id;
    let data = {};
    try { data = JSON.parse(event.data); } catch { return; }
    this.over = event.kind === "file.status" && data.status === "deleted";
    for (const listener of this.listeners) listener(event.kind, data);
  }
}

// Calls listener(kind, data) for each event of the file; returns how to stop, or null where no stream is free.
export function watch(file, listener, important = false) {
  let stream = streams.get(file);
  if (!stream) {
    if (streams.size >= MOST_STREAMS + (important ? 1 : 0)) return null;
    stream = new Stream(file);
    streams.set(file, stream);
  }
  stream.listeners.add(listener);
  return () => {
    stream.listeners.delete(listener);
    if (stream.listeners.size === 0 && streams.get(file) === stream) {
      stream.stop.abort();
      streams.delete(file);
    }
  };
}

export function stopAll() {
  for (const stream of streams.values()) stream.stop.abort();
  streams.clear();
}

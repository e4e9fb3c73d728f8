// Pictures of a PDF's pages: the result of the job page_images, a ZIP of WebP files stored as they are. It covers some
// pages; where others are looked at, one that covers them is ordered, and takes its place.
import { call, content } from "./api.js";

const AT_ONCE = 20;
const END = 0x06054b50;
const ENTRY = 0x02014b50;
const END_SIZE = 22;
const UNDER_WAY = ["queued", "running", "retry"];

// Page numbers to the bytes of their pictures. Whatever does not fit its frame is left out.
export function readPictures(buffer) {
  const view = new DataView(buffer);
  const found = new Map();
  const end = buffer.byteLength - END_SIZE;
  if (end < 0 || view.getUint32(end, true) !== END) return found;
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0 && at + 46 <= end && view.getUint32(at, true) === ENTRY; left -= 1) {
    const size = view.getUint32(at + 24, true);
    const head = view.getUint32(at + 42, true);
    const length = view.getUint16(at + 28, true);
    const page = parseInt(new TextDecoder().decode(new Uint8Array(buffer, at + 46, Math.min(length, end - at - 46))), 10);
    if (head + 30 <= end) {
      const from = head + 30 + view.getUint16(head + 26, true) + view.getUint16(head + 28, true);
      if (page > 0 && from + size <= end) found.set(page, new Uint8Array(buffer, from, size));
    }
    at += 46 + length + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return found;
}

class Pictures {
  constructor(changed) {
    Object.assign(this, { changed, urls: new Map(), loaded: null, ordered: null, closed: false });
  }

  update(file) {
    this.file = file;
    this.made = file.derivatives.find((entry) => entry.kind === "page_images");
    this.changed();
  }

  known(page) { return this.urls.get(page) ?? null; }

  // Twenty from a round number on; where a slow document ended earlier, the rest of them.
  first(page) {
    const first = page - ((page - 1) % AT_ONCE);
    const { last } = this.made?.metadata ?? {};
    return last >= first && last < page ? last + 1 : first;
  }

  // Whether one may still come.
  waits(page) {
    return !this.known(page) && (this.busy || (this.ordered === this.first(page)
      && (this.file === this.orderedBefore || this.file.jobs.some((job) => job.type === "page_images" && UNDER_WAY.includes(job.status)))));
  }

  covers(page) {
    const { first, last } = this.made?.metadata ?? {};
    return first <= page && page <= last;
  }

  // Somebody looks at this page.
  async want(page) {
    if (this.busy || this.known(page)) return;
    const covered = this.covers(page);
    if (covered ? this.loaded === this.made.sha256 : this.ordered === this.first(page)) return;
    this.busy = true;
    try {
      await (covered ? this.load() : this.order(this.first(page)));
    } catch (problem) {
      if (!problem.code) throw problem;
      // what may not be ordered or read is not shown
    } finally {
      this.busy = false;
    }
    if (!this.closed) this.changed();
  }

  async load() {
    this.loaded = this.made.sha256;
    const pictures = readPictures(await content(this.file.file_id, "page_images", this.loaded, { as: "bytes" }));
    if (this.closed) return;
    for (const [page, bytes] of pictures) {
      if (!this.urls.has(page)) this.urls.set(page, URL.createObjectURL(new Blob([bytes], { type: "image/webp" })));
    }
  }

  async order(first) {
    Object.assign(this, { ordered: first, orderedBefore: this.file });
    await call("POST", `/v1/files/${this.file.file_id}/jobs`, { type: "page_images", parameters: { first, pages: AT_ONCE } });
  }

  close() {
    this.closed = true;
    for (const url of this.urls.values()) URL.revokeObjectURL(url);
  }
}

export const pagePictures = (changed) => new Pictures(changed);

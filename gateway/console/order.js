// Ordering one more job for a file, of the types that take its kind of bytes.
import { dialog, h } from "./dom.js";
import { call, get } from "./api.js";
import { jobName } from "./words.js";

const takes = (processor, mime) => processor.media_types.some((pattern) =>
  pattern === mime || (pattern.endsWith("*") && mime.startsWith(pattern.slice(0, -1))));

// True when a job was ordered. Problems are the caller's to show.
export async function orderJob(file) {
  const mime = file.detected_mime ?? file.mime;
  const { processors } = await get("/v1/processors");
  const fitting = processors.filter((processor) => takes(processor, mime));
  if (fitting.length === 0) {
    await dialog("Run a job", h("p", { text: "No job takes this kind of file." }), [{ label: "Close", value: "", kind: "primary" }]);
    return false;
  }
  const type = h("select", { id: "order-type" }, fitting.map((processor) => h("option", { value: processor.type, text: jobName(processor.type) })));
  const chosen = await dialog("Run a job", h("div", { class: "field" }, h("label", { for: "order-type", text: "Job" }), type,
    h("p", { class: "note", text: "It runs with its default settings. What an earlier job of this type made is replaced." })),
  [{ label: "Cancel", value: "" }, { label: "Run", value: "run", kind: "primary" }]);
  if (chosen !== "run") return false;
  await call("POST", `/v1/files/${file.file_id}/jobs`, { type: type.value });
  return true;
}

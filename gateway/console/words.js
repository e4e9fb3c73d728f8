// What codes and states mean to people, and what to do about them. Codes that are not here are shown as they are.
const FAULTS = {
  bad_input: ["The file is damaged", "Its contents could not be read. Open it with its own program, save it again, and upload the new copy."],
  unsupported_input: ["This kind of file is not supported", "Convert it to PDF, a common picture or sound format, or an office document."],
  password_required: ["The document has a password", "Remove the password and upload it again."],
  too_many_pixels: ["The picture is too large", "It has more pixels than may be decoded here. Scale it down, or ask the operator to raise the limit."],
  too_many_pages: ["The document has too many pages", "Split it, or ask the operator to raise the limit."],
  unsupported_language: ["This language is not installed", "Ask the operator to install its recognition data."],
  archive_bomb: ["The file unpacks to far more than it should", "It looks like an archive bomb and was not opened."],
  too_many_entries: ["The archive has too many entries", "Split it into smaller files."],
  bad_parameters: ["The settings of this job are not valid", "See the detail for the one at fault."],
  engine_failed: ["The engine could not finish", "It may be a passing fault: retry. If it comes back, the file is unusual."],
  crash: ["The parser crashed on this file", "It ran in its own sandbox, so nothing else was touched. The same bytes are set aside after two crashes."],
  sandbox_violation: ["The parser tried something forbidden", "It was stopped at once. The file may be hostile."],
  cpu_limit: ["It needed too much computing time", "The file is far more complex than usual. Simplify or split it."],
  memory_limit: ["It needed too much memory", "Scale the picture down or split the document."],
  output_limit: ["The result would be too large", "Split the file into smaller ones."],
  timeout: ["It took too long", "Retry; if it happens again, split the file."],
  no_progress: ["It stopped making progress", "Retry; if it happens again, the file confuses the parser."],
  cancelled: ["Cancelled", "Reprocess the file to run it again."],
  no_runner: ["No free place to run it", "The machine was short of resources. It is retried by itself."],
  input_missing: ["The uploaded bytes are gone", "Upload the file again."],
  input_changed: ["The uploaded bytes changed", "Something overwrote the object. Upload the file again."],
  storage_unavailable: ["Storage could not be reached", "It is retried by itself. If it lasts, check the object store."],
  storage_refused: ["Storage refused the request", "Check the bucket's permissions and the key."],
  unknown_type: ["The workers do not know this job", "They may be older than the rest; upgrade them."],
  quarantined: ["Set aside", "These bytes crashed the same parser twice and are not tried again."],
  attempts_exhausted: ["Every attempt failed", "See the detail of the last one, then retry by reprocessing."],
  too_long: ["The sound is too long", "Split it, or ask the operator to raise the limit."],
  backend_unavailable: ["The transcription server did not answer", "It is retried by itself. If it lasts, ask the operator."],
  backend_rate_limited: ["The transcription server is busy", "It is retried by itself."],
  backend_refused: ["The transcription server refused", "Ask the operator to check its address and key."],
  backend_not_configured: ["The server to ask is not known", "Ask the operator to set its address, then to retry."],
  backend_bad_answer: ["The transcription server's answer was not understood", "Ask the operator to check which server it is."],
  DECODE_FAILED: ["The picture could not be decoded", "Save it again as JPEG or PNG."],
  SIZE_EXCEEDED: ["It can't be made small enough", "Use a simpler picture or a wider size limit."],
  SCHEMA_FAILED: ["It can't meet the required format", "See the detail for the rule at fault."],
  OCR_FAILED: ["Text could not be recognised", "Scan it again, straight and in good light."],
  OCR_TIMEOUT: ["Recognition took too long", "Retry, or split the document."],

  missing_token: ["You are not signed in", "Sign in with a token."],
  invalid_token: ["The token is not valid", "It may have expired. Get a new one and sign in again."],
  invalid_code: ["This link does not work any more", "It works once, for five minutes. Run `filemill console` for another."],
  not_a_member: ["You are not a member of this tenant", "Ask an owner or admin to add you."],
  insufficient_role: ["Your role does not allow it", "Ask an owner or admin of the tenant."],
  forbidden: ["You may not do this", "It belongs to somebody else. Ask an owner or admin of the tenant."],
  not_found: ["There is no such thing", "It may have been deleted, or it is not yours to see."],
  already_member: ["Already a member", "Change the role in the list instead."],
  last_owner: ["A tenant needs an owner", "Make somebody else an owner first."],
  not_finalized: ["The upload is not complete", "Upload the file again."],
  upload_expired: ["The upload was given up", "Start it again."],
  object_changed: ["The file changed while it was checked", "Try once more."],
  object_not_found_in_storage: ["Nothing arrived in storage", "Send it again."],
  empty_file: ["The file is empty", "Choose one that has contents."],
  size_mismatch: ["Not all bytes arrived", "Send it again."],
  type_mismatch: ["The bytes are not what the name says", "The file's contents are of another kind than its type. Rename it, or choose the right one."],
  job_finished: ["The job has ended already", "There is nothing left to cancel."],
  payload_too_large: ["Too large", "Ask the operator to raise the limit."],
  rate_limited: ["Too many requests", "Wait a moment; it goes on by itself."],
  bad_request: ["The request was not understood", "See the detail."],
  internal_error: ["Something went wrong on the server", "The log has the request's id."],
  database_unavailable: ["The database can't be reached", "It is tried again. If it lasts, check Postgres."],
  keys_unavailable: ["Tokens can't be checked right now", "The key server does not answer. Try again in a minute."],
  not_ready: ["A part of the service is missing", "Wait a moment; if it lasts, see /ready."],
  draining: ["The server is restarting", "It is tried again by itself."],
  decrypt_failed: ["It could not be decrypted", "What lies in the store was changed or cut. Reprocess the file to make it anew."],
  key_unavailable: ["Its key is missing", "The master key that it was encrypted with is not there. Ask the operator."],
  bad_envelope: ["It is not encrypted as announced", "Encrypt it again and upload the new copy."],
  out_of_credit: ["Not enough credit", "Ask the operator for more."],
  network: ["The server can't be reached", "Check the connection; the console comes back by itself."],
  blocked: ["Storage could not be reached from this page", "The object store must allow this page's origin (CORS). See docs/console.md."],
};

export function explain(code) {
  const known = FAULTS[code];
  return known ? { title: known[0], advice: known[1] } : { title: String(code || "Unknown error").replaceAll("_", " "), advice: "" };
}

const JOBS = {
  extract_pdf: "Text of the PDF", thumbnail: "Pictures", page_images: "Pictures of the pages", image_variants: "Web images", ocr: "Text recognition",
  waveform: "Waveform", transcribe: "Transcript", extract_office: "Text of the document", portal_photo: "Portal photo",
};
export const jobName = (type) => JOBS[type] ?? String(type).replaceAll("_", " ");

const STATES = {
  uploading: ["Uploading", "idle"], processing: ["Processing", "busy"], ready: ["Ready", "good"], failed: ["Failed", "bad"],
  queued: ["Queued", "idle"], running: ["Running", "busy"], done: ["Done", "good"], retry: ["Will retry", "warn"],
  waiting: ["Waiting for its parts", "busy"], cancelled: ["Cancelled", "idle"], deleted: ["Deleted", "idle"],
};
export const stateWords = (state) => STATES[state]?.[0] ?? String(state);
export const stateTone = (state) => STATES[state]?.[1] ?? "idle";

const KINDS = {
  pdf_text: "Text", pdf_pages: "Pages with word boxes", thumbnail: "Thumbnail", page_images: "Pictures of the pages", display: "Display image",
  ocr_text: "Recognised text", ocr_json: "Recognised words with boxes", ocr_hocr: "hOCR", ocr_alto: "ALTO", ocr_tsv: "Words as a table",
  ocr_pdf: "Searchable PDF", waveform: "Waveform points", waveform_dat: "Waveform points, binary", waveform_png: "Waveform drawing",
  transcript_text: "Transcript", transcript_json: "Transcript with times", transcript_srt: "Subtitles (SRT)", transcript_vtt: "Subtitles (VTT)",
  office_text: "Text", office_meta: "Properties", portal_photo: "Portal photo", portal_proof: "Proof of the photo",
};
export const kindName = (kind) => KINDS[kind] ?? (/^variant_\d+$/.test(kind) ? `Web image ${kind.slice(8)}` : null) ?? String(kind).replaceAll("_", " ");

const OFFICE = /officedocument|opendocument|msword|ms-excel|ms-powerpoint|rtf/;
export function family(mime) {
  const type = String(mime ?? "");
  if (type === "application/pdf") return "pdf";
  if (type.startsWith("image/")) return "image";
  if (type.startsWith("audio/") || type.startsWith("video/")) return "audio";
  if (type.startsWith("text/") || OFFICE.test(type)) return "text";
  return "file";
}

const BY_EXTENSION = {
  pdf: "application/pdf", txt: "text/plain", csv: "text/csv", md: "text/plain", flac: "audio/flac", ogg: "audio/ogg", m4a: "audio/mp4",
  heic: "image/heic", heif: "image/heif", avif: "image/avif", webp: "image/webp", tif: "image/tiff", tiff: "image/tiff",
  docx: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
  xlsx: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
  pptx: "application/vnd.openxmlformats-officedocument.presentationml.presentation",
  odt: "application/vnd.oasis.opendocument.text", ods: "application/vnd.oasis.opendocument.spreadsheet",
};
export function mimeOf(file) {
  const extension = file.name.includes(".") ? file.name.split(".").pop().toLowerCase() : "";
  return file.type || BY_EXTENSION[extension] || "application/octet-stream";
}

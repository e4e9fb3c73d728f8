// Signing in with a token.
import { button, fill, h } from "./dom.js";
import { readClaims } from "./api.js";
import { explain } from "./words.js";

const REASONS = { expired: { title: "Your session has ended", advice: "Sign in again to go on." } };

export function signIn(app, { reason, enter, themeButton, mark }) {
  const field = h("textarea", { id: "token", rows: 4, spellcheck: "false", autocomplete: "off", autocapitalize: "off",
    "aria-describedby": "token-help sign-in-fault", placeholder: "eyJ…" });
  const fault = h("div", { id: "sign-in-fault", role: "alert" });
  const submit = button("Sign in", { kind: "primary wide" });

  function show(code, words) {
    const { title, advice } = words ?? REASONS[code] ?? explain(code);
    fill(fault, h("div", { class: "callout bad" }, h("strong", { text: title }), h("p", { text: advice })));
  }

  async function go() {
    const token = field.value.trim().replace(/^Bearer\s+/i, "");
    if (!token) {
      show(null, { title: "Paste a token first", advice: "It is a long text in three parts, divided by dots." });
      field.focus();
      return;
    }
    if (token.split(".").length !== 3 || !readClaims(token).sub) {
      show(null, { title: "This is not a token", advice: "It has three parts, divided by dots. Copy the whole of it." });
      field.focus();
      return;
    }
    submit.disabled = true;
    try {
      await enter(token);
    } catch (problem) {
      show(problem.code);
      field.focus();
    }
    submit.disabled = false;
  }

  submit.addEventListener("click", go);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      go();
    }
  });
  fill(app, h("main", { id: "main", class: "sign-in", tabindex: "-1" },
    h("div", { class: "corner" }, themeButton()),
    mark(48), h("h1", { text: "Sign in to Filemill" }), fault,
    h("div", { class: "field" }, h("label", { for: "token", text: "Access token" }), field,
      h("p", { id: "token-help", class: "note", text: "It stays in this tab and is gone when you close it." })),
    submit,
    h("details", { class: "how" }, h("summary", { text: "Where do I get one?" }),
      h("p", {}, "On the machine that runs Filemill, ", h("code", { text: "filemill console" }),
        " prints a link that signs you in once, and ", h("code", { text: "filemill token" }), " prints a token."),
      h("p", { text: "With Supabase, use a user's access token." }))));
  document.title = "Sign in · Filemill";
  if (reason) show(reason);
  field.focus();
}

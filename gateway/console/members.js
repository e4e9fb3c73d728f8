// Who belongs to the tenant, and with which role.
import { ago, button, dialog, fill, h, toast } from "./dom.js";
import { call, get, session } from "./api.js";
import { explain } from "./words.js";

const ROLES = ["member", "internal", "admin", "owner"];
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

class Members {
  constructor({ main, role, showProblem }) {
    Object.assign(this, { main, role, showProblem, may: role === "owner" || role === "admin", closed: false });
    this.body = h("div", {}, h("div", { class: "row-ghost", "aria-hidden": "true" }));
    fill(main, h("div", { class: "page" }, h("h1", { text: "Members" }), this.may && this.form(), this.body));
    this.refresh();
  }

  form() {
    const user = h("input", { id: "member-user", autocomplete: "off", spellcheck: "false", placeholder: "00000000-0000-0000-0000-000000000000", "aria-describedby": "member-fault" });
    const role = this.roles("member", "member-role");
    const fault = h("p", { id: "member-fault", class: "fault", role: "alert" });
    const add = async () => {
      fault.textContent = UUID.test(user.value.trim()) ? "" : "A user id is a UUID, as in the token's “sub”.";
      if (fault.textContent) {
        user.focus();
        return;
      }
      try {
        await call("POST", this.path(), { user_id: user.value.trim().toLowerCase(), role: role.value });
        user.value = "";
        toast("Added");
        this.refresh();
      } catch (problem) {
        const { title, advice } = explain(problem.code);
        fault.textContent = `${title}. ${advice}`;
      }
    };
    user.addEventListener("keydown", (event) => { if (event.key === "Enter") add(); });
    return h("section", { class: "card add-member", "aria-label": "Add a member" },
      h("div", { class: "field grow" }, h("label", { for: "member-user", text: "User id" }), user, fault),
      h("div", { class: "field" }, h("label", { for: "member-role", text: "Role" }), role),
      button("Add", { kind: "primary", onclick: add }));
  }

  roles(chosen, id) {
    const select = h("select", { id }, ROLES.filter((role) => role !== "owner" || this.role === "owner" || role === chosen).map((role) => h("option", { value: role, text: role })));
    select.value = chosen;
    return select;
  }

  path(user) { return `/v1/tenants/${session.tenant}/members${user ? `/${user}` : ""}`; }

  async refresh() {
    try {
      const { members } = await get(this.path());
      if (!this.closed) fill(this.body, this.table(members));
    } catch (problem) {
      const { title, advice } = explain(problem.code);
      if (!this.closed) fill(this.body, h("div", { class: "callout bad", role: "alert" }, h("strong", { text: title }), h("p", { text: advice }), button("Try again", { onclick: () => this.refresh() })));
    }
  }

  table(members) {
    return h("div", { class: "table-frame members", tabindex: "0", role: "region", "aria-label": "Members" }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "User" }), h("th", { scope: "col", text: "Role" }), h("th", { scope: "col", class: "extra", text: "Since" }),
        this.may && h("th", { scope: "col", class: "act" }, h("span", { class: "hidden-text", text: "Actions" })))),
      h("tbody", {}, members.map((member) => this.row(member)))));
  }

  row(member) {
    const you = member.user_id === session.user;
    const change = this.may && (member.role !== "owner" || this.role === "owner");
    const role = change ? this.roles(member.role) : h("span", { text: member.role });
    if (change) {
      role.setAttribute("aria-label", `Role of ${member.user_id}`);
      role.addEventListener("change", () => this.act("PATCH", member, { role: role.value }, "Role changed"));
    }
    return h("tr", {}, h("td", {}, h("code", { text: member.user_id }), you && h("span", { class: "tag", text: "you" })), h("td", {}, role), h("td", { class: "extra" }, ago(member.created_at)),
      this.may && h("td", { class: "act" }, change && button(`Remove ${member.user_id}`, { icon: "trash", compact: true, kind: "ghost", onclick: () => this.remove(member, you) })));
  }

  async remove(member, you) {
    const sure = await dialog(you ? "Leave this tenant?" : "Remove this member?", h("p", {}, h("code", { text: member.user_id }), " loses access to the tenant's files."),
      [{ label: "Cancel", value: "" }, { label: you ? "Leave" : "Remove", value: "yes", kind: "danger" }]);
    if (sure === "yes") await this.act("DELETE", member, undefined, "Removed");
  }

  async act(method, member, body, done) {
    try {
      await call(method, this.path(member.user_id), body);
      toast(done);
    } catch (problem) {
      this.showProblem(problem);
    }
    this.refresh();
  }

  close() { this.closed = true; }
}

export const membersView = (context) => new Members(context);

"use strict";
// Addresses are relative, so that the page of a session controls that session.

const SHOWN = 100;
const FAULTS = [
  ["Cut it off after 3 words", { kind: "reset", moment: "text", after: 3 }],
  ["Fall silent after 3 words", { kind: "silence", moment: "text", after: 3 }],
  ["Stall the connection", { kind: "stall", moment: "text", after: 1 }],
  ["Wait 3 seconds", { kind: "delay", moment: "created", params: { seconds: 3 } }],
  ["429, too many requests", {
    kind: "error", moment: "request",
    params: { status: 429, code: "rate_limit_exceeded", headers: { "retry-after": "1" } },
  }],
  ["500, server error", { kind: "error", moment: "request" }],
  ["Forget what is remembered", { kind: "forget", moment: "request" }],
  ["Fail in the middle", { kind: "failed", moment: "text", after: 3 }],
];

const at = (id) => document.getElementById(id);
const entries = new Map();
let token = sessionStorage.getItem("token") || "";

async function ask(method, path, body) {
  const headers = token ? { "x-sandbox-token": token } : {};
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(path, {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body),
  });
  at("access").hidden = answer.status !== 401;
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error?.message || `${answer.status}`);
  return told;
}

function act(method, path, body) {
  ask(method, path, body).then(() => { at("problem").textContent = ""; return look(); })
    .catch((error) => { at("problem").textContent = error.message; });
}

function textOf(item) {
  const content = item.content ?? item.output ?? "";
  if (typeof content === "string") return content;
  return content.map((part) => part.text ?? part.refusal ?? `[${part.type}]`).join("");
}

function lineOf(item) {
  switch (item.type ?? "message") {
    case "message": return [item.role, textOf(item)];
    case "function_call": return ["call", `${item.name}(${item.arguments})`];
    case "custom_tool_call": return ["call", `${item.name}(${item.input})`];
    case "function_call_output":
    case "custom_tool_call_output": return ["result", textOf(item)];
    default: return [item.type, ""];
  }
}

function add(parent, tag, text, kind) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.textContent = text;
  parent.append(element);
  return element;
}

function show(record) {
  let entry = entries.get(record.number);
  if (!entry) {
    entry = document.createElement("li");
    entries.set(record.number, entry);
    at("transcript").append(entry);
  }
  const done = record.outcome;
  entry.className = `request ${!done ? "running" : done === "completed" ? "" : "ended-badly"}`;
  entry.replaceChildren();
  const input = record.body.input;
  const items = typeof input === "string" ? [{ role: "user", content: input }]
    : Array.isArray(input) ? input : [];
  for (const item of [...items, ...record.output]) {
    if (!item || typeof item !== "object") continue;
    const [who, what] = lineOf(item);
    const line = add(entry, "p", "", "said");
    add(line, "b", who ?? "");
    add(line, "span", what);
  }
  const how = [
    `${record.number}`, record.transport, record.stream_id ? `lane ${record.stream_id}` : null,
    record.incremental ? "incremental" : "full", `${record.size} bytes`, done ?? "answering …",
  ];
  add(entry, "div", how.filter(Boolean).join(" · "), "how");
}

async function look() {
  const state = await ask("GET", "../_sandbox");
  at("state").textContent =
    `${state.base_url} · ${state.connections} open ${state.connections === 1 ? "WebSocket" : "WebSockets"} · ${state.scripted} queued answers`;
  at("waiting").replaceChildren();
  for (const fault of state.faults) {
    add(at("waiting"), "li", `${fault.kind} at ${fault.moment}${fault.after ? `, after ${fault.after}` : ""}`);
  }
  const { requests } = await ask("GET", `requests?since=-${SHOWN}`);
  const there = new Set(requests.map((record) => record.number));
  for (const [number, entry] of entries) {
    if (!there.has(number)) { entry.remove(); entries.delete(number); }
  }
  requests.forEach(show);
  at("nothing").hidden = requests.length > 0;
}

async function watch() {
  try {
    await look();
  } catch (error) {
    at("state").textContent = error.message;
  }
  setTimeout(watch, 1000);
}

for (const [label, fault] of FAULTS) {
  add(at("faults"), "button", label).onclick = () => act("POST", "faults", fault);
}
at("clear").onclick = () => act("DELETE", "faults");
at("cut").onclick = () => act("POST", "cut");
at("reset").onclick = () => act("POST", "reset");
at("say").onsubmit = (event) => {
  event.preventDefault();
  act("POST", "script", at("text").value);
  at("say").reset();
};
at("access").onsubmit = (event) => {
  event.preventDefault();
  token = at("token").value;
  sessionStorage.setItem("token", token);
  act("GET", "requests?since=-1");
};
watch();

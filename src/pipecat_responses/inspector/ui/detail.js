// One turn: why it was slow, what was sent and why, what came back, and the wire.

import { bytes, clock, count, json, make, moves, seconds } from "./dom.js";
import { WindowedList } from "./lists.js";
import { ANSWERS, said } from "./model.js";
import { heardOf, story } from "./story.js";

const PARTS = [
  ["lost", "attempts that came to nothing"],
  ["preparing", "made the request"], ["connecting", "waited for a connection"], ["waiting", "waited for the server"],
  ["thinking", "the model reasoned"], ["tools", "tools at the server"], ["speaking", "text and calls"],
];

export function textOf(item) {
  if (typeof item === "string") return item;
  if (!item) return "";
  const parts = item.content ?? item.output ?? item.summary ?? "";
  if (typeof parts === "string") return parts;
  if (!Array.isArray(parts)) return json(parts);
  return parts.map((part) => part?.text ?? part?.refusal ?? `[${part?.type ?? "?"}]`).join("\n");
}

export function lineOf(item) {
  if (!item || typeof item !== "object") return ["?", String(item)];
  switch (item.type ?? "message") {
    case "message": return [item.role ?? "message", textOf(item)];
    case "function_call": return ["call", `${item.name}(${item.arguments})`];
    case "custom_tool_call": return ["call", `${item.name}(${item.input})`];
    case "function_call_output": case "custom_tool_call_output": return ["result", textOf(item)];
    default: return [item.type, textOf(item)];
  }
}

// What the user said last in a request, or what a response has put out.
export function snippet(record) {
  if (record.record === "request") {
    const input = record.message?.input;
    const items = Array.isArray(input) ? input : input ? [{ role: "user", content: input }] : [];
    const last = items.findLast((item) => item?.role === "user") ?? items.at(-1);
    return last ? lineOf(last).join(": ").replace(/^user: /, "") : "";
  }
  const output = record.message?.response?.output ?? record.message?.output;
  return Array.isArray(output)
    ? output.map(lineOf).map(([who, what]) => (who === "assistant" ? what : who === "reasoning" ? "" : what)).filter(Boolean).join(" ") : "";
}

export class Detail {
  constructor(box) {
    this.box = box;
    this.turn = null;
    this.tab = "overview";
  }

  show(turn, session, source, now) {
    const again = turn === this.turn;
    this.turn = turn;
    this.session = session;
    this.source = source;
    // What is read is not to move, nor to be fetched again, unless something has changed.
    const state = `${turn.outcome} ${turn.requests.map((each) => each.status + each.to).join()} ${turn.events.length} ${turn.tools.length} ${turn.errors.length} ${this.session.after(turn)?.requests.length}`;
    if (again && (state === this.state)) return;
    this.state = state;
    const body = make("div", { class: "body", role: "tabpanel" });
    this.box.replaceChildren(this._head(turn, now), this._tabs(), body);
    this._fill(body, turn, now);
  }

  _head(turn, now) {
    const report = turn.report;
    return make("header", {},
      make("h2", {}, `Turn ${turn.number} `, make("span", { class: `outcome ${turn.outcome ?? "running"}`, text: turn.outcome ?? "running" })),
      make("p", { class: "hint", text: `${clock(this.source.header.started, turn.from)}, ${seconds(turn.from)} after the beginning` }),
      make("p", { class: "why", text: this._headline(turn, report, now) }));
  }

  _tabs() {
    const tabs = [["overview", "Overview"], ["items", "Items"], ["wire", "Events and wire"]];
    const list = make("div", { role: "tablist", class: "tabs" });
    const choose = (name) => {
      this.tab = name;
      this.state = null;
      this.show(this.turn, this.session, this.source, 0);
      this.box.querySelector(`[data-tab="${name}"]`)?.focus();
    };
    for (const [name, text] of tabs) {
      const on = name === this.tab;
      list.append(make("button", {
        role: "tab", text, "data-tab": name, "aria-selected": String(on), tabindex: on ? "0" : "-1",
        onclick: () => choose(name),
      }));
    }
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const index = tabs.findIndex(([name]) => name === this.tab);
      choose(tabs[(index + step + tabs.length) % tabs.length][0]);
    });
    return list;
  }

  async _fill(body, turn, now) {
    if (this.tab === "overview") {
      body.append(...this._overview(turn, now));
      this._talk(turn, body.firstChild).catch((error) => body.firstChild.replaceChildren(make("p", { class: "hint", text: error.message })));
      return;
    }
    body.append(make("p", { class: "hint", text: "Loading …" }));
    try {
      const records = await wireOf(turn, this.source);
      if (this.turn !== turn || !body.isConnected) return;
      const parts = this.tab === "items" ? this._items(turn, records) : this._wire(turn, records);
      body.replaceChildren(...parts);
      this.list?.show(true);
    } catch (error) {
      body.replaceChildren(make("p", { class: "hint", text: error.message }));
    }
  }

  // -- overview ----------------------------------------------------------------------------------

  _overview(turn) {
    const steps = story(turn, this.source.advice);
    const parts = [make("div", { class: "talk" })];
    if (steps.length) parts.push(make("h3", { text: "What happened" }), told(steps, (each) => `+${seconds(Math.max(0, each.at - turn.from))}`));
    const differs = turn.requests.findLast((each) => each.difference);
    if (differs) parts.push(...difference(differs));
    parts.push(make("h3", { text: "Where the time went" }));
    const times = turn.report?.times;
    if (times) parts.push(this._times(times, turn.report.failures ?? []));
    parts.push(this._facts(turn));
    parts.push(make("h3", { text: "Requests" }), this._requests(turn), make("p", { class: "hint", text: "Incremental: only what was new was sent. Full: everything. A lane is one of several conversations that a connection carries, and a fork goes on there from an answer on another lane." }));
    return parts;
  }

  _headline(turn, report, now) {
    if (!turn.outcome) return `It has been running for ${seconds(now - turn.from)}.`;
    const steps = story(turn, this.source.advice).filter((each) => each.kind !== "fine");
    const worst = steps.findLast((each) => each.kind === "bad") ?? steps.at(-1);
    return worst?.text ?? (report ? `Nothing out of the ordinary: it was answered after ${seconds(report.times?.answer)}.` : "Nothing of it has left.");
  }

  // What the caller said, what the bot said, and what of that was heard.
  async _talk(turn, box) {
    const next = this.session.after(turn)?.requests.find((each) => ANSWERS.includes(each.purpose));
    const own = turn.requests.find((each) => ANSWERS.includes(each.purpose));
    const records = await this.source.some([own?.seq, turn.last, next?.seq].filter(Boolean));
    if (!box.isConnected) return;
    const of = (seq) => records.find((each) => each.seq === seq);
    const asked = own && of(own.seq) ? snippet(of(own.seq)) : "";
    const put = (turn.last && of(turn.last)?.said) ?? "";
    const heard = heardOf(put, next && of(next.seq));
    const lines = [];
    if (asked) lines.push(make("p", {}, make("b", { text: asked.startsWith("result: ") ? "function" : "caller" }), asked.replace(/^result: /, "")));
    if (put) {
      lines.push(make("p", {}, make("b", { text: "bot" }), heard === null ? put : put.slice(0, heard),
        heard === null || heard >= put.length ? null : make("s", { text: put.slice(heard) })));
    }
    const hint = !put ? (turn.outcome && !turn.tools.length ? "The bot said nothing." : "")
      : heard === null ? "No later turn tells how much of it the caller has heard."
      : heard === 0 ? "The caller has heard nothing of it."
      : heard >= put.length ? "The caller has heard all of it." : "Crossed out is what the caller has not heard: the conversation goes on without it.";
    if (hint) lines.push(make("p", { class: "hint", text: hint }));
    box.replaceChildren(...lines);
  }

  _times(times, failures) {
    const first = times.first_output ?? times.end;
    const spans = {
      lost: failures.reduce((sum, each) => sum + each.seconds + each.paused, 0),
      preparing: times.preparing, connecting: times.connecting,
      waiting: Math.max(0, first - times.sent), thinking: times.thinking, tools: times.tools,
    };
    const rest = times.end - Object.values(spans).reduce((sum, each) => sum + each, 0);
    spans.speaking = Math.max(0, rest);
    const bar = make("div", { class: "parts", role: "img", "aria-label": PARTS.map(([name, text]) => `${text}: ${seconds(spans[name])}`).join(", ") });
    const legend = make("dl", { class: "parts-legend" });
    for (const [name, text] of PARTS) {
      if (spans[name] <= 0.0005) continue;
      const part = make("i", { class: name, title: `${text}: ${seconds(spans[name])}` });
      part.style.flexGrow = String(spans[name]);
      bar.append(part);
      legend.append(make("div", {}, make("i", { class: name }), make("dt", { text }), make("dd", { text: seconds(spans[name]) })));
    }
    return make("div", {}, bar, legend);
  }

  _facts(turn) {
    const report = turn.report;
    const times = report?.times;
    const usage = report?.usage;
    const share = usage?.input ? ` (${Math.round((usage.cached / usage.input) * 100)} %)` : "";
    return facts([
      ["first text", times && seconds(times.first_text)],
      ["first call", times?.first_call !== null && times && seconds(times.first_call)],
      ["accepted", times && seconds(times.created)],
      ["whole turn", times && seconds(times.end)],
      ["messages", turn.messages],
      ["input tokens", usage?.input],
      ["cached", usage && `${usage.cached}${share}`],
      ["output tokens", usage && `${usage.output}${usage.reasoning ? `, ${usage.reasoning} of them reasoning` : ""}`],
      ["attempts", report?.attempts],
      ["changed since the turn before", report?.changed?.join(", ")],
      ["model", report?.model],
      ["response", report?.response_id],
      ["service tier", report?.service_tier],
      ["incomplete since", report?.reason],
    ]);
  }

  _requests(turn) {
    return table(["what", "where", "how", "items", "bytes", "took", "ended"], turn.requests.map((each) => [
      each.hedge ? "hedge" : each.purpose,
      each.transport === "http" ? "HTTP" : `c${each.source} ${each.lane ?? "default"}`,
      each.incremental ? `incremental${each.fork ? ", fork" : ""}${each.prepared ? ", prepared" : ""}` : `full: ${each.why_full}`,
      each.items, bytes(each.bytes), each.to === null ? "…" : seconds(each.to - each.from), each.status,
    ]), turn.requests.map((each) => each.explanation));
  }

  // -- items and wire ----------------------------------------------------------------------------

  _items(turn, records) {
    const parts = [];
    for (const request of turn.requests) {
      const sent = records.find((each) => each.record === "request" && each.number === request.number);
      const came = records.filter((each) => each.record === "event" && belongs(each, request));
      const input = sent?.message?.input;
      const ended = came.findLast((each) => each.message?.response?.output?.length);
      const output = ended?.message.response.output ?? came.filter((each) => each.kind === "response.output_item.done").map((each) => each.message?.item);
      parts.push(make("h3", { text: `${request.hedge ? "Hedge" : `Request (${request.purpose})`}: ${count(request.items, "item")} sent` }));
      if (!sent) parts.push(make("p", { class: "hint", text: "It is not kept any more." }));
      const items = Array.isArray(input) ? input : input ? [{ role: "user", content: input }] : [];
      if (items.length > 200) parts.push(make("p", { class: "hint", text: `The last 200 of ${items.length}:` }));
      parts.push(...items.slice(-200).map(item));
      parts.push(make("h3", { text: "Put out" }));
      parts.push(...(output.length ? output.map(item) : [make("p", { class: "hint", text: "Nothing that is complete." })]));
    }
    return parts;
  }

  _wire(turn, records) {
    if (!records.length) return [make("p", { class: "hint", text: "What went over the wire is not kept any more." })];
    const box = make("div", { class: "wire", tabindex: "0", role: "listbox", "aria-label": "Messages" });
    const shown = make("pre", { class: "json", tabindex: "0" });
    let chosen = -1;
    const list = new WindowedList(box, 22, (record, index) => {
      const sent = record.record !== "event";
      const row = make("div", {
        class: `message ${sent ? "sent" : "came"}`, role: "option", "aria-selected": String(index === chosen),
        onclick: () => choose(index),
      },
      make("time", { text: `+${seconds(record.at - turn.from)}` }),
      make("b", { text: sent ? "→" : "←" }),
      make("span", { class: "kind", text: record.kind ?? record.message?.type ?? (sent ? record.record : "not an event") }),
      make("span", { class: "text", text: brief(record) }));
      return row;
    });
    const choose = (index) => {
      chosen = index;
      shown.textContent = json(records[index].message);
      list.show(true);
      list.reveal(index);
    };
    box.addEventListener("keydown", (event) => {
      const to = moves(event, chosen, records.length, list.page);
      if (to !== null) choose(to);
    });
    list.set(records);
    this.list = list;
    choose(0);
    return [box, shown];
  }
}

function belongs(record, request) {
  return record.source === request.source && (record.lane ?? null) === (request.lane ?? null)
    && record.seq > request.seq && record.seq <= (request.last ?? request.until ?? Infinity);
}

// All that went over the wire for a turn's requests, to the end of the last one.
async function wireOf(turn, source) {
  const requests = turn.requests;
  if (!requests.length) return [];
  const first = Math.min(...requests.map((each) => each.seq));
  const ends = requests.map((each) => each.last ?? (each.to === null ? Infinity : turn.last ?? Infinity));
  const until = Math.max(...ends, turn.last ?? 0);
  const records = await source.wire(first - 1, until === Infinity ? 2 ** 52 : until);
  return records.filter((record) => (record.record === "request"
    ? requests.some((each) => each.number === record.number)
    : record.record === "message" ? requests.some((each) => each.source === record.source && record.seq > each.seq)
      : requests.some((each) => belongs(record, each))));
}

function brief(record) {
  const message = record.message;
  if (record.record === "request") return `${count(record.items, "item")}, ${bytes(record.bytes)}`;
  if (!message || typeof message !== "object") return String(message ?? "");
  const text = message.delta ?? message.text ?? message.arguments ?? message.error?.message ?? message.message
    ?? message.response?.id ?? message.item?.type ?? message.part?.type ?? message.response_id ?? "";
  return typeof text === "string" ? text : json(text);
}

function item(value) {
  const [who, what] = lineOf(value);
  const long = what.length > 4000;
  return make("div", { class: `item ${who}` }, make("b", { text: who }),
    make("p", { text: long ? `${what.slice(0, 4000)} … ${what.length - 4000} more characters` : what }));
}

// Steps of a story: when, what, what it means, what to do.
export function told(steps, when) {
  return make("ol", { class: "story" }, ...steps.map((each) => make("li", { class: each.kind },
    make("time", { text: when(each) }),
    make("div", {}, make("p", { text: each.text }),
      each.means ? make("p", { class: "means", text: each.means }) : null,
      each.todo ? make("p", { class: "todo" }, make("b", { text: "To do: " }), each.todo) : null))));
}

function difference(request) {
  const side = (title, value) => make("div", {}, make("h4", { text: title }),
    value ? make("pre", { text: json(value, 4000) }) : make("p", { class: "hint", text: "nothing" }));
  const where = request.changed_at === null || request.changed_at === undefined ? "" : ` (message ${request.changed_at + 1} of ${request.messages})`;
  return [
    make("h3", { text: `The first message that differs${where}` }),
    make("div", { class: "sides" }, side("The model has seen", request.difference.seen), side("The context says now", request.difference.now)),
  ];
}

export function facts(pairs) {
  const list = make("dl", { class: "facts" });
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === "" || value === false) continue;
    list.append(make("div", {}, make("dt", { text: name }), make("dd", { text: String(value) })));
  }
  return list;
}

export function table(heads, rows, titles = []) {
  return make("div", { class: "scroll" }, make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { text: head, scope: "col" })))),
    make("tbody", {}, ...rows.map((row, index) => make("tr", { title: titles[index] },
      ...row.map((cell) => make("td", { text: String(cell ?? "–") })))))));
}

// One turn: why it was slow, what was sent and why, what came back, and the wire.

import { bytes, clock, count, json, make, moves, seconds, since } from "./dom.js";
import { WindowedList } from "./lists.js";
import { answering, endOf, said, sentBytes } from "./model.js";
import { heardOf, story } from "./story.js";
import { belongs, joined, lookForSeams, textsOf, wireOf } from "./wire.js";
import { behind, compared, pieces, visible } from "./words.js";

const PARTS = [
  ["lost", "attempts that broke off"], ["cut", "their text, which was put out"],
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

// The items of a request; a text alone is what the user says.
function inputOf(record) {
  const input = record?.message?.input;
  return Array.isArray(input) ? input : input ? [{ role: "user", content: input }] : [];
}

// What the user said last in a request, or what a response has put out.
export function snippet(record) {
  if (record.record === "request") {
    const items = inputOf(record);
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
    const state = `${turn.outcome} ${turn.requests.map((each) => each.status + each.to).join()} ${turn.events.length} ${turn.events.filter((each) => each.seam).length} ${turn.tools.length} ${turn.errors.length} ${this.session.after(turn)?.requests.length}`;
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
      make("p", { class: "hint", text: `from ${since(turn.from)}${turn.to === null ? "" : ` to ${since(turn.to)}`} of the call (${clock(this.source.header.started, turn.from)})` }),
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
      const parts = this.tab === "items" ? this._items(turn, records, await this._said(turn)) : this._wire(turn, records);
      if (this.turn !== turn || !body.isConnected) return;
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
    if (steps.length) parts.push(make("h3", { text: "What happened" }), told(steps, this.source.header.started));
    parts.push(make("h3", { text: "Where the time went" }));
    const times = turn.report?.times;
    if (times) parts.push(this._times(turn, times, turn.report.failures ?? []));
    parts.push(this._facts(turn));
    parts.push(make("h3", { text: "Requests" }), this._requests(turn));
    return parts;
  }

  _headline(turn, report, now) {
    if (!turn.outcome) return `It has been running for ${seconds(now - turn.from)}.`;
    const steps = story(turn, this.source.advice).filter((each) => each.kind !== "fine");
    const worst = steps.findLast((each) => each.kind === "bad") ?? steps.at(-1);
    return worst?.text ?? (report ? `Nothing out of the ordinary: it was answered after ${seconds(report.times?.answer)}.` : "Nothing of it has left.");
  }

  // What a turn was asked, what it put out, and how much of that was heard.
  async _said(turn) {
    const after = this.session.after(turn);
    const next = after && answering(after)[0];
    const [own] = answering(turn);
    const records = await this.source.some([own?.seq, turn.last, next?.seq].filter(Boolean));
    const of = (seq) => records.find((each) => each.seq === seq);
    const asked = own && of(own.seq) ? snippet(of(own.seq)) : "";
    const put = (turn.last && of(turn.last)?.said) ?? "";
    return { asked, put, heard: heardOf(put, next && of(next.seq)) };
  }

  // What the caller said, what the bot said, and what of that was heard.
  async _talk(turn, box) {
    const [{ asked, put, heard }] = await Promise.all([this._said(turn), lookForSeams(turn, this.source)]);
    if (!box.isConnected) return;
    const lines = [];
    if (asked) lines.push(make("p", {}, make("b", { text: asked.startsWith("result: ") ? "function" : "caller" }), asked.replace(/^result: /, "")));
    if (put) {
      lines.push(make("p", {}, make("b", { text: "bot" }), ...pieces(put, heard ?? put.length, put.length, seamsOf(turn))));
    }
    const hint = !put ? (turn.outcome && !turn.tools.length ? "The bot said nothing." : "")
      : heard === null ? "No later turn tells how much of it the caller has heard."
      : heard === 0 ? "The caller has heard nothing of it."
      : heard >= put.length ? "The caller has heard all of it." : "Crossed out is what the caller has not heard: the conversation goes on without it.";
    const known = heard === null ? "" : " (The next turn's request tells: in the context is what was heard.)";
    if (hint) lines.push(make("p", { class: "hint", text: hint + (put ? known : "") }));
    box.replaceChildren(...lines);
  }

  _times(turn, times, failures) {
    // The first output of an answer that was taken up again is that of the attempt before.
    const again = turn.events.findLast((each) => each.seam)?.seam.begin;
    const first = again === undefined ? times.first_output ?? times.end : again - turn.from;
    const lost = failures.reduce((sum, each) => sum + each.seconds + each.paused, 0);
    const cut = turn.report.resumed ? Math.max(0, lost - times.answer) : 0;
    const spans = {
      lost: lost - cut, cut, preparing: times.preparing, connecting: times.connecting,
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
    // No server tells the tokens of an attempt that broke off.
    const last = report?.attempts > 1 ? " of the last attempt" : "";
    return facts([
      ["first text", times && seconds(times.first_text)],
      ["first call", times?.first_call !== null && times && seconds(times.first_call)],
      ["accepted", times && seconds(times.created)],
      ["whole turn", times && seconds(times.end)],
      ["messages in the context", turn.messages],
      ["sent", `${bytes(sentBytes(turn.requests))}${turn.requests.length > 1 ? ` in ${turn.requests.length} requests` : ""}`],
      [`input tokens${last}`, usage?.input],
      [`cached${last}`, usage && `${usage.cached}${share}`],
      [`output tokens${last}`, usage && `${usage.output}${usage.reasoning ? `, ${usage.reasoning} of them reasoning` : ""}`],
      ["attempts", report?.attempts],
      ["changed since the turn before", report?.changed?.join(", ")],
      ["model", report?.model],
      ["response", report?.response_id],
      ["service tier", report?.service_tier],
      ["incomplete since", report?.reason],
    ]);
  }

  _requests(turn) {
    return table(["what", "where", "how", "items sent", "bytes", "took", "ended"], turn.requests.map((each) => [
      each.hedge ? "hedge" : each.purpose,
      each.transport === "http" ? "HTTP" : `c${each.source} ${each.lane ?? "default"}`,
      each.incremental ? `incremental${each.fork ? ", fork" : ""}${each.prepared ? ", prepared" : ""}` : `full: ${each.why_full}`,
      each.items, bytes(each.bytes), each.to === null ? "…" : seconds(each.to - each.from), each.status,
    ]), turn.requests.map((each) => each.explanation));
  }

  // -- items and wire ----------------------------------------------------------------------------

  _items(turn, records, { put, heard }) {
    const parts = [];
    for (const request of turn.requests) {
      const sent = records.find((each) => each.record === "request" && each.number === request.number);
      const came = records.filter((each) => each.record === "event" && belongs(each, request));
      const ended = came.findLast((each) => each.message?.response?.output?.length);
      const output = ended?.message.response.output ?? came.filter((each) => each.kind === "response.output_item.done").map((each) => each.message?.item);
      parts.push(make("h3", { text: `${request.hedge ? "Hedge" : `Request (${request.purpose})`}: ${count(request.items, "item")} sent` }));
      if (!sent) parts.push(make("p", { class: "hint", text: "It is not kept any more." }));
      const items = inputOf(sent);
      if (items.length > 200) parts.push(make("p", { class: "hint", text: `The last 200 of ${items.length}:` }));
      parts.push(...items.slice(-200).map((each) => item(each)));
      parts.push(make("h3", { text: "Put out" }), ...this._output(turn, request, output, textsOf(request, came), put, heard));
    }
    return parts;
  }

  // What the server put out for a request, and what became of it.
  _output(turn, request, output, texts, put, heard) {
    const parts = [];
    // Without words a text is its length, and so is each piece of it.
    const whole = this.source.header.words ? joined(texts) : "";
    // What came as a text and is not complete, as when it broke off.
    const all = output.length || !whole ? output : [{ role: "assistant", content: whole }];
    const cut = request.abandoned !== null && whole;
    let before = visible(joined(texts.filter((each) => each.seq < request.abandonedSeq)));
    const later = whole && visible(whole) > before;
    let until = heard === null || answering(turn).length > 1 ? before : visible(put.slice(0, heard));
    const unheard = until < before;
    for (const each of all) {
      if (!cut || lineOf(each)[0] !== "assistant") {
        parts.push(item(each));
        continue;
      }
      const text = textOf(each);
      parts.push(item(each, pieces(text, behind(text, until), behind(text, before))));
      const size = visible(text);
      [before, until] = [Math.max(0, before - size), Math.max(0, until - size)];
    }
    const notes = [];
    if (!all.length) notes.push("Nothing that is complete.");
    if (cut && unheard) notes.push("Crossed out: put out to be spoken, and not heard.");
    if (cut && later) notes.push("In italics: came after the interruption, and nobody listened.");
    if (!cut && !output.length && whole) notes.push(`It broke off here${request.error ? `: ${said(request.error)}` : ""}.`);
    if (cut && request.ended === "response.completed") notes.push(`The server went on to its end (response.completed), ${seconds(request.to - request.abandoned)} after the interruption.`);
    return [...parts, ...notes.map((text) => make("p", { class: "hint", text }))];
  }

  _wire(turn, records) {
    if (!records.length) return [make("p", { class: "hint", text: "What went over the wire is not kept any more." })];
    const { started } = this.source.header;
    const overHttp = new Set(turn.requests.filter((each) => each.transport === "http").map((each) => each.source));
    const rows = [...records, ...between(turn, this.session)].sort((one, other) => one.seq - other.seq);
    const box = make("div", { class: "wire", tabindex: "0", role: "listbox", "aria-label": "Messages" });
    const shown = make("pre", { class: "json", tabindex: "0" });
    let chosen = -1;
    const list = new WindowedList(box, 22, (row, index) => {
      const sent = row.record !== "event";
      const when = make("time", { text: `${row.at.toFixed(3)} s`, title: `${clock(started, row.at)}, ${seconds(row.at - turn.from)} after the turn began` });
      const options = { role: "option", "aria-selected": String(index === chosen), onclick: () => choose(index) };
      if (row.between) return make("div", { class: "message between", ...options }, when, make("span", { class: "text", text: row.between, title: row.between }));
      return make("div", { class: `message ${sent ? "sent" : "came"}`, ...options }, when,
        make("span", { class: "place", text: !row.lane && overHttp.has(row.source) ? "HTTP" : `c${row.source} ${row.lane ?? ""}` }),
        make("b", { text: sent ? "→" : "←" }),
        make("span", { class: "kind", text: row.kind ?? row.message?.type ?? (sent ? row.record : "not an event") }),
        make("span", { class: "text", text: brief(row) }));
    });
    const choose = (index) => {
      chosen = index;
      shown.textContent = rows[index].between ?? json(rows[index].message);
      list.show(true);
      list.reveal(index);
    };
    box.addEventListener("keydown", (event) => {
      const to = moves(event, chosen, rows.length, list.page);
      if (to !== null) choose(to);
    });
    list.set(rows);
    this.list = list;
    choose(Math.max(0, rows.findIndex((each) => !each.between)));
    return [box, shown];
  }
}

// What happened between the messages of a turn, in words.
function between(turn, session) {
  const found = [];
  const add = (seq, at, text) => { if (seq) found.push({ seq, at, between: text }); };
  const requests = answering(turn).filter((each) => !each.hedge);
  requests.slice(1).forEach((each, index) => add(each.seq - 0.5, each.from, `attempt ${index + 2}`));
  for (const each of turn.requests) {
    if (each.abandoned !== null) add(each.abandonedSeq, each.abandoned, `interrupted, or not needed any more: nobody listens to it from here on${each.lane ? ` (${each.lane})` : ""}`);
  }
  for (const each of turn.events) {
    if (each.what === "failed") add(each.seq, each.at, `the attempt ended: ${said(each.error)}`);
    if (each.what === "retry") add(each.seq, each.at, each.resumes ? "the turn asks for the rest of the answer" : "the turn sends its request again");
  }
  const [first, last] = [turn.seq, turn.last ?? Infinity];
  for (const each of session.connections.values()) {
    if (each.seq > first && each.seq < last) add(each.seq, each.at, `connection c${each.source} is open, after ${seconds(each.seconds)}`);
    if (each.last > first && each.last < last) add(each.last, each.to, `connection c${each.source} has ended: ${endOf(each, session)}`);
  }
  for (const each of turn.tools) {
    add(each.seq, each.from, `${each.name} runs in the application`);
    if (each.to !== null) add(each.last, each.to, `${each.name} ${each.cancelled ? "was cancelled" : "has ended"}`);
  }
  if (turn.to !== null) add(turn.last, turn.to, `the turn ended: ${turn.outcome}`);
  return found;
}

// Where an answer broke off, as marks in its text.
function seamsOf(turn) {
  return turn.events.filter((each) => each.seam).map(({ seam }) => ({
    offset: seam.offset, text: `broke off, ${seconds(seam.seconds)}`,
    title: `The answer broke off here, and nothing new came for ${seconds(seam.seconds)}`,
  }));
}

function brief(record) {
  const message = record.message;
  if (record.record === "request") return `${count(record.items, "item")}, ${bytes(record.bytes)}`;
  if (!message || typeof message !== "object") return String(message ?? "");
  const text = message.delta ?? message.text ?? message.arguments ?? message.error?.message ?? message.message
    ?? message.response?.id ?? message.item?.type ?? message.part?.type ?? message.response_id ?? "";
  return typeof text === "string" ? text : json(text);
}

function item(value, marked = null) {
  const [who, what] = lineOf(value);
  const long = what.length > 4000;
  return make("div", { class: `item ${who}` }, make("b", { text: who }),
    make("p", {}, ...(marked ?? [long ? `${what.slice(0, 4000)} … ${what.length - 4000} more characters` : what])));
}

// Steps of a story: when, what, what it means, what to do, and what differs.
export function told(steps, started) {
  return make("ol", { class: "story" }, ...steps.map((each) => make("li", { class: each.kind },
    make("time", { text: since(each.at), title: clock(started, each.at) }),
    make("div", {}, make("p", { text: each.text }),
      each.means ? make("p", { class: "means", text: each.means }) : null,
      each.todo ? make("p", { class: "todo" }, make("b", { text: "To do: " }), each.todo) : null,
      each.differs ? difference(each.differs) : null))));
}

function difference(request) {
  const { seen, now } = request.difference;
  const [before, after] = compared(seen ? json(seen, 4000) : "", now ? json(now, 4000) : "");
  const side = (title, value, words) => make("div", {}, make("h4", { text: title }),
    value ? make("pre", { tabindex: "0" }, ...words) : make("p", { class: "hint", text: "nothing" }));
  const where = request.changed_at === null || request.changed_at === undefined ? "" : ` (message ${request.changed_at + 1} of ${request.messages})`;
  return make("div", { class: "differs" }, make("h4", { text: `The first message that differs${where}` }),
    make("div", { class: "sides" }, side("The model has seen", seen, before), side("The context says now", now, after)));
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
      ...row.map((cell) => make("td", { class: String(cell ?? "").length < 20 ? "short" : null, text: String(cell ?? "–") })))))));
}

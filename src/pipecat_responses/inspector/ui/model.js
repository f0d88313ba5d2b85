// A session, made of the records of what happened in it: turns, their requests, connections.

const MOST_TURNS = 5000;

// What requests are for that answer a turn.
export const ANSWERS = ["turn", "second server"];

export class Session {
  constructor() {
    this.turns = [];
    this.requests = [];
    this.connections = new Map();
    this.notes = [];
    this.seq = 0;
    this.now = 0;
    this.forgotten = 0;
    this._turn = new Map();
    this._request = new Map();
    this._places = new Map();
    this._tools = new Map();
  }

  add(record) {
    this.seq = Math.max(this.seq, record.seq);
    if (typeof record.at !== "number") throw new TypeError("A record without its time");
    this.now = Math.max(this.now, record.at);
    this._handlers[record.record]?.call(this, record);
  }

  turn(number) { return this._turn.get(number); }

  // The turn after another one.
  after(turn) { return this.turns[this.turns.indexOf(turn) + 1]; }

  // The turn in whose time something was, by its number in the session.
  turnAt(seq) {
    let found = null;
    for (const turn of this.turns) {
      if (turn.seq > seq) break;
      found = turn;
    }
    return found;
  }

  _handlers = {
    turn(record) {
      const turn = {
        number: record.turn, seq: record.seq, from: record.at, to: null, messages: record.messages,
        outcome: null, report: null, requests: [], events: [], tools: [], errors: [],
      };
      this.turns.push(turn);
      this._turn.set(record.turn, turn);
      if (this.turns.length > MOST_TURNS) this._forget(this.turns.shift());
    },

    "turn ended"(record) {
      const turn = this._turn.get(record.turn);
      if (!turn) return;
      Object.assign(turn, { to: record.at, outcome: record.outcome, report: record.report, last: record.seq });
      // It begins with the context frame, before its request is made.
      if (record.report?.times) turn.from = record.at - record.report.times.end;
    },

    request(record) {
      const request = {
        ...record, from: record.at, to: null, status: "running", abandoned: null, hedge: false,
      };
      delete request.message;
      this.requests.push(request);
      this._request.set(record.number, request);
      this._places.set(place(record), request);
      if (record.transport === "websocket") this._connection(record.source, record.at);
      this._turn.get(record.turn)?.requests.push(request);
    },

    event(record) {
      const request = this._running(record);
      if (!request) return;
      if (record.kind === "response.created") {
        request.created ??= record.at;
        // A response that was steered goes on in another one.
        if (request.status === "completed") Object.assign(request, { to: null, status: "running" });
        return;
      }
      request.to = record.at;
      request.last = record.seq;
      if (request.abandoned !== null) return;
      request.status = {
        "response.completed": "completed", response: "completed", "response.incomplete": "incomplete",
      }[record.kind] ?? "failed";
    },

    hedge(record) {
      const request = this._request.get(record.number);
      if (request) request.hedge = true;
    },

    abandoned(record) {
      const request = this._places.get(place(record));
      if (!request || request.to !== null) return;
      request.abandoned = record.at;
      request.status = record.never_left ? "taken back" : "abandoned";
      if (record.never_left || request.transport === "http") request.to = record.at;
    },

    "request failed"(record) {
      const request = this._request.get(record.number);
      if (request && request.to === null) Object.assign(request, { to: record.at, status: "failed" });
    },

    "attempt failed"(record) {
      const request = this._request.get(record.number);
      if (request) request.error = record.error;
      this._turn.get(record.turn)?.events.push({ what: "failed", ...record });
    },

    retry(record) { this._turn.get(record.turn)?.events.push({ what: "retry", ...record }); },
    parked(record) { this._turn.get(record.turn)?.events.push({ what: "parked", ...record }); },

    "taken up"(record) {
      const turn = this._turn.get(record.turn);
      const request = this._request.get(record.number);
      turn?.events.push({ what: "taken up", ...record });
      if (turn && request && !turn.requests.includes(request)) turn.requests.push(request);
    },

    tool(record) {
      const tool = { ...record, from: record.at, to: null, cancelled: false };
      this._tools.set(record.call_id, tool);
      this._turn.get(record.turn)?.tools.push(tool);
    },

    "tool ended"(record) {
      const tool = this._tools.get(record.call_id);
      if (tool) Object.assign(tool, { to: record.at, cancelled: record.cancelled });
      this._tools.delete(record.call_id);
    },

    connection(record) {
      this.connections.set(record.source, {
        source: record.source, from: record.at - record.seconds, to: null, retired: null,
        seconds: record.seconds, capabilities: record.capabilities, error: null,
      });
    },

    retired(record) { this._connection(record.source, record.at).retired = record.at; },

    lost(record) {
      const connection = this._connection(record.source, record.at);
      Object.assign(connection, { to: record.at, error: record.error });
      for (const request of this.requests) {
        if (request.source === record.source && request.to === null) {
          request.to = record.at;
          if (request.abandoned === null) request.status = "lost";
        }
      }
    },

    refused(record) { this.notes.push({ at: record.at, what: "connection refused", text: said(record.error) }); },
    error(record) {
      const turn = this.turns.at(-1);
      if (turn && (turn.to === null || record.at - turn.to < 0.05)) turn.errors.push(record.error);
      this.notes.push({ at: record.at, what: "error", text: said(record.error) });
    },
    note(record) { this.notes.push({ at: record.at, what: record.what, text: record.text }); },
    closed(record) { this.notes.push({ at: record.at, what: "closed", text: "The service has ended." }); },
  };

  _connection(source, now) {
    // One that was open before anybody looked.
    if (!this.connections.has(source)) {
      this.connections.set(source, {
        source, from: null, seen: now, to: null, retired: null, seconds: null, capabilities: null,
        error: null,
      });
    }
    return this.connections.get(source);
  }

  _running(record) {
    const request = this._places.get(place(record));
    if (request || record.kind !== "error") return request;
    // An error may not say which lane it is about.
    return this.requests.findLast((each) => each.source === record.source && each.to === null);
  }

  _forget(turn) {
    this._turn.delete(turn.number);
    this.forgotten += 1;
    for (const request of turn.requests) this._request.delete(request.number);
    const first = this.turns[0]?.seq ?? 0;
    this.requests = this.requests.filter((each) => each.seq >= first || each.to === null);
    if (this.notes.length > MOST_TURNS) this.notes.splice(0, this.notes.length - MOST_TURNS);
  }
}

const place = (record) => `${record.source}\u0000${record.lane ?? ""}`;

export function said(error) {
  const more = [error.code, error.status && `status ${error.status}`, error.param].filter(Boolean);
  return `${error.message}${more.length ? ` (${more.join(", ")})` : ""}`;
}

// What marks a turn, beside its numbers.
export function badges(turn) {
  const found = [];
  const requests = turn.requests.filter((each) => ANSWERS.includes(each.purpose));
  const full = requests.filter((each) => !each.incremental);
  if (turn.to === null) found.push(["running", "running"]);
  if (turn.outcome === "interrupted") found.push(["interrupted", "interrupted"]);
  if (turn.outcome === "failed") found.push(["failed", "failed"]);
  if (full.length) found.push(["full", `full: ${full.at(-1).why_full}`]);
  const retries = turn.events.filter((each) => each.what === "retry");
  if (retries.some((each) => each.resumes)) found.push(["again", "↻ resumed"]);
  else if (retries.length) found.push(["again", `↻ ${retries.length} ${retries.length > 1 ? "retries" : "retry"}`]);
  if (requests.some((each) => each.hedge)) found.push(["hedged", `hedged${turn.report?.hedged === "won" ? ", won" : ""}`]);
  if (turn.report?.steered) found.push(["steered", "steered"]);
  if (turn.report?.prepared) found.push(["prepared", "prepared"]);
  if (turn.tools.length) found.push(["tools", turn.tools.map((each) => each.name).join(", ")]);
  if (isSlow(turn)) found.push(["slow", turn.report.cause]);
  return found;
}

export function isSlow(turn) {
  return Boolean(turn.report?.cause && turn.report.cause !== "nothing");
}

export function passes(turn, filter) {
  if (filter === "all") return true;
  if (filter === "slow") return isSlow(turn);
  if (filter === "failed") return turn.outcome === "failed" || turn.errors.length > 0;
  return badges(turn).some(([kind]) => kind === filter);
}

// What a text is looked for in, beside what was said.
export function words(turn) {
  return [
    `turn ${turn.number}`, turn.outcome, turn.report?.why_slow, turn.report?.response_id, turn.report?.model,
    ...badges(turn).map(([, text]) => text), ...turn.errors.map(said),
  ].filter(Boolean).join("\n").toLowerCase();
}

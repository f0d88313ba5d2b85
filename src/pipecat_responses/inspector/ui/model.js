// A session, made of the records of what happened in it: turns, their requests, connections.

const MOST_TURNS = 5000;

// What requests are for that answer a turn.
const ANSWERS = ["turn", "second server"];

export class Session {
  constructor() {
    this.turns = [];
    this.requests = [];
    this.connections = new Map();
    this.notes = [];
    this.seq = 0;
    this.now = 0;
    this.forgotten = 0;
    this.closed = null;
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
      request.ended = record.kind;
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
      request.abandonedSeq = record.seq;
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
      if (tool) Object.assign(tool, { to: record.at, last: record.seq, cancelled: record.cancelled });
      this._tools.delete(record.call_id);
    },

    connection(record) {
      this.connections.set(record.source, {
        source: record.source, seq: record.seq, at: record.at, from: record.at - record.seconds, to: null, retired: null,
        seconds: record.seconds, capabilities: record.capabilities, error: null,
      });
    },

    retired(record) { this._connection(record.source, record.at).retired = record.at; },

    lost(record) {
      const connection = this._connection(record.source, record.at);
      Object.assign(connection, { to: record.at, last: record.seq, error: record.error });
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
    closed(record) {
      this.closed = record.at;
      this.notes.push({ at: record.at, what: "closed", text: "The service has ended." });
    },
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
  // Without words, what kind of failure it is still says something.
  const message = error.failure && /^<\d+ characters>$/.test(error.message) ? `A failure of the kind “${error.failure}” ${error.message}` : error.message;
  return `${message}${more.length ? ` (${more.join(", ")})` : ""}`;
}

// What became of a connection, and why it ended.
export function connectionState(connection) {
  if (connection.to === null) return connection.retired === null ? "open" : "retiring";
  return connection.error?.failure === "closed" ? "closed" : "lost";
}

export function endOf(connection, session) {
  if (connection.to === null) return "";
  if (connectionState(connection) === "lost") return said(connection.error);
  if (connection.retired !== null) return "closed by this side, as nothing new was to start on it";
  return session.closed === null ? "closed by this side" : "closed by this side, with the service";
}

// The requests of a turn that answer it.
export const answering = (turn) => turn.requests.filter((each) => ANSWERS.includes(each.purpose));

export const sentBytes = (requests) => requests.reduce((sum, each) => sum + each.bytes, 0);

// Whether a request came to no good end.
export const isBad = (request) => ["failed", "lost", "incomplete"].includes(request.status);

// Why everything was sent, without the message where.
export const reasonOf = (why) => why.split(" at message")[0];

// How bad it is that everything was sent: "bad" ought not to be, "odd" follows from something, and
// "fine" is as it has to be.
export function severityOfFull(why) {
  const reason = reasonOf(why);
  if (reason === "first" || reason === "http") return "fine";
  return reason === "context changed" || reason === "memory lost" ? "bad" : "odd";
}

// What marks a turn, beside its numbers: what kind, in words, and how bad.
export function badges(turn) {
  const found = [];
  const badge = (kind, text, severity = "fine", title = text) => found.push({ kind, text, severity, title });
  const requests = answering(turn);
  const full = requests.filter((each) => !each.incremental);
  if (turn.to === null) badge("running", "running");
  if (turn.outcome === "interrupted") badge("interrupted", "interrupted", "odd");
  if (turn.outcome === "failed") badge("failed", "failed", "bad");
  if (turn.report?.status === "incomplete") badge("incomplete", "incomplete", "bad");
  if (full.length) {
    const why = full.at(-1).why_full;
    badge("full", `full: ${reasonOf(why)}`, severityOfFull(why), `everything was sent: ${why}`);
  }
  const retries = turn.events.filter((each) => each.what === "retry");
  if (retries.some((each) => each.resumes)) badge("again", "↻ broke off, resumed", "bad");
  else if (retries.length) badge("again", `↻ ${retries.length} ${retries.length > 1 ? "retries" : "retry"}`, "bad");
  if (requests.some((each) => each.hedge)) badge("hedged", `hedged${turn.report?.hedged === "won" ? ", won" : ""}`, "odd");
  if (turn.report?.steered) badge("steered", "steered", "odd");
  if (turn.report?.prepared) badge("prepared", "prepared");
  if (turn.tools.length) badge("tools", turn.tools.map((each) => each.name).join(", "));
  if (isSlow(turn)) badge("slow", turn.report.cause.includes("slow") ? turn.report.cause : `slow: ${turn.report.cause}`, "bad");
  return found;
}

// An answer that broke off and was resumed had begun in time.
export function isSlow(turn) {
  const { cause, resumed } = turn.report ?? {};
  return Boolean(cause && cause !== "nothing" && !(cause === "lost attempt" && resumed));
}

export function passes(turn, filter) {
  if (filter === "all") return true;
  const marks = badges(turn);
  if (filter === "wrong") return marks.some((each) => each.severity === "bad") || turn.errors.length > 0 || turn.requests.some(isBad);
  return marks.some((each) => each.kind === filter);
}

// What a text is looked for in, beside what was said.
export function words(turn) {
  return [
    `turn ${turn.number}`, turn.outcome, turn.report?.why_slow, turn.report?.response_id, turn.report?.model,
    ...badges(turn).map((each) => each.text), ...turn.errors.map(said),
  ].filter(Boolean).join("\n").toLowerCase();
}

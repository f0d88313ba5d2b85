// The time line: turns in a row of their own, connections and their lanes below. Only what lies in
// the stretch that is shown is in the document.

import { at, clock, make, seconds, since } from "./dom.js";
import { isBad, connectionState } from "./model.js";

const SPANS = [2, 5, 10, 20, 30, 60, 120, 300, 600];
const LETTERS = { compaction: "C", anchor: "A", "warm-up": "W", "side request": "S", "second server": "2" };

export class Timeline {
  constructor(choose) {
    this.choose = choose;
    this.span = 30;
    this.end = 0;
    this.follows = true;
    this.fits = false;
    this.session = null;
    this.started = 0;
    this.chosen = null;
    at("out").onclick = () => this.zoom(1);
    at("in").onclick = () => this.zoom(-1);
    at("follow").onclick = () => this.follow();
    const box = at("timeline");
    box.addEventListener("keydown", (event) => this._key(event));
    box.addEventListener("wheel", (event) => {
      const by = Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.shiftKey ? event.deltaY : 0;
      if (event.ctrlKey) this.zoom(Math.sign(event.deltaY));
      else if (by) this.pan((by / this._width()) * this.span);
      else return;
      event.preventDefault();
    }, { passive: false });
    this._drags(box);
    new ResizeObserver(() => this.draw()).observe(box);
  }

  show(session, started, now) {
    this.session = session;
    this.started = started;
    this.now = now;
    // A session that has ended is seen from its beginning to its end.
    if (this.fits && now) {
      this.span = SPANS.find((each) => each >= now * 1.06) ?? SPANS.at(-1);
      this.fits = false;
    }
    if (this.follows) this.end = this._newest();
    this.draw();
  }

  follow() {
    this.follows = true;
    this.show(this.session, this.started, this.now);
  }

  pan(by) {
    this.follows = false;
    this.end = Math.min(Math.max(this.end + by, this.span * 0.2), this.now + this.span * 0.5);
    this.draw();
  }

  zoom(by) {
    const next = SPANS[Math.max(0, Math.min(SPANS.length - 1, SPANS.indexOf(this.span) + by))];
    const middle = this.end - this.span / 2;
    this.span = next;
    this.end = this.follows ? this._newest() : middle + next / 2;
    this.draw();
  }

  reveal(turn) {
    this.chosen = turn;
    const to = turn.to ?? this.now;
    if (turn.from < this.end - this.span || to > this.end) {
      this.follows = false;
      this.end = turn.from + this.span * 0.75;
    }
    this.draw();
  }

  // Nothing is chosen any more.
  unchoose() {
    this.chosen = null;
    this.draw();
  }

  draw() {
    if (!this.session) return;
    const from = this.end - this.span;
    this._axis(from);
    const rows = this._rows(from);
    at("rows").replaceChildren(...rows);
    at("span").textContent = this.span < 60 ? `${this.span} s` : `${this.span / 60} min`;
    at("follow").setAttribute("aria-pressed", String(this.follows));
    at("timeline").dataset.bars = String(at("rows").querySelectorAll(".bar").length);
  }

  // A young session begins at the left.
  _newest() { return Math.max(this.now + this.span * 0.04, this.span * 0.98); }

  _width() { return Math.max(1, at("axis").clientWidth); }

  _x(time) { return `${(((time - this.end + this.span) / this.span) * 100).toFixed(3)}%`; }

  _axis(from) {
    const step = [0.25, 0.5, 1, 2, 5, 10, 15, 30, 60].find((each) => this.span / each <= 12) ?? 60;
    const ticks = [];
    for (let time = Math.ceil(from / step) * step; time <= this.end; time += step) {
      if (time < 0) continue;
      const whole = Number.isInteger(Math.round(time * 1000) / 1000);
      const tick = make("span", { class: "tick", title: clock(this.started, time), text: whole ? since(time).replace(/\.00/, "") : since(time) },
        whole ? make("small", { text: clock(this.started, time) }) : null);
      tick.style.left = this._x(time);
      ticks.push(tick);
    }
    at("axis").replaceChildren(...ticks);
  }

  _rows(from) {
    const inside = (each, to) => (to ?? this.now) >= from && each.from <= this.end;
    const rows = [];
    const turns = this.session.turns.filter((turn) => inside(turn, turn.to));
    rows.push(this._row("turns", "", turns.map((turn) => this._turn(turn))));
    const requests = this.session.requests.filter((each) => inside(each, each.to));
    const lanes = new Map();
    for (const connection of this.session.connections.values()) {
      const begin = connection.from ?? connection.seen;
      if ((connection.to ?? this.now) < from || begin > this.end) continue;
      rows.push(this._row(`c${connection.source}`, "connection", [this._connection(connection, begin)]));
      const on = requests.filter((each) => each.transport === "websocket" && each.source === connection.source);
      for (const each of on) {
        const name = each.lane ?? "default";
        if (!lanes.has(connection.source + name)) lanes.set(connection.source + name, []);
        lanes.get(connection.source + name).push(each);
      }
      const names = [...new Set(on.map((each) => each.lane ?? "default"))].sort(byNumber);
      for (const name of names) {
        rows.push(this._row(name, "lane", lanes.get(connection.source + name).map((each) => this._request(each))));
      }
    }
    const http = requests.filter((each) => each.transport === "http");
    packed(http, this.now).forEach((row, index) => {
      rows.push(this._row(index ? "" : "HTTP", "lane", row.map((each) => this._request(each))));
    });
    return rows;
  }

  _row(label, kind, bars) {
    return make("div", { class: `row ${kind}` },
      make("span", { class: "label", text: label, title: kind === "connection" ? `connection ${label.slice(1)}` : label }),
      make("div", { class: "track" }, ...bars));
  }

  _bar(from, to, kind, text, title, turn) {
    // What lies outside is left out, so that what is written in a bar is always seen. In one that
    // is too narrow for it, it stands behind the bar.
    const begin = Math.max(from, this.end - this.span);
    const end = Math.min(to, this.end + this.span * 0.02);
    const narrow = text.length < 6 && ((end - begin) / this.span) * this._width() < text.length * 8 + 3;
    const bar = make("button", { class: `bar ${kind}${narrow ? " narrow" : ""}`, title, tabindex: "-1", "aria-label": title },
      narrow ? make("span", { class: "beside", text }) : text);
    bar.style.left = this._x(begin);
    bar.style.width = `${Math.max(0, ((end - begin) / this.span) * 100).toFixed(3)}%`;
    bar.mark = (time, mark) => {
      if (time < begin) return;
      mark.style.left = `${(((time - begin) / (end - begin || 1)) * 100).toFixed(2)}%`;
      bar.append(mark);
    };
    if (turn) bar.addEventListener("click", () => this.choose(turn));
    if (turn && turn === this.chosen) bar.classList.add("chosen");
    return bar;
  }

  _turn(turn) {
    const to = turn.to ?? this.now;
    const kind = `whole ${turn.outcome ?? "running"}`;
    const bar = this._bar(turn.from, to, kind, `${turn.number}`, `turn ${turn.number}, ${turn.outcome ?? "running"}, ${seconds(to - turn.from)}`, turn);
    const first = turn.report?.times?.answer;
    if (first && turn.outcome !== "failed") bar.mark(turn.from + first, make("i", { class: "first" }));
    for (const event of turn.events.filter((each) => each.what === "retry")) {
      bar.mark(event.at, make("i", { class: "mark", text: "↻" }));
    }
    return bar;
  }

  _request(request) {
    const to = request.to ?? this.now;
    const turn = this.session.turn(request.turn);
    const kinds = [request.purpose.replace(" ", "-"), request.status.replace(" ", "-")];
    if (!request.incremental && request.purpose === "turn") kinds.push("full");
    if (request.hedge) kinds.push("hedge");
    if (request.abandoned !== null) kinds.push("abandoned");
    const letter = request.hedge ? "H" : LETTERS[request.purpose] ?? `${request.turn}`;
    const bad = isBad(request) ? " !" : "";
    const how = request.incremental ? "incremental" : `full (${request.why_full})`;
    const title = `${request.hedge ? "hedge" : request.purpose} of turn ${request.turn}, ${how}, ${request.status}, ${seconds(to - request.from)}`;
    const bar = this._bar(request.from, to, kinds.join(" "), letter + bad, title, turn);
    if (request.abandoned !== null) {
      bar.mark(Math.max(request.abandoned, this.end - this.span), make("i", { class: "rest" }));
    }
    return bar;
  }

  _connection(connection, begin) {
    const to = connection.to ?? this.now;
    const state = connectionState(connection);
    const text = `${state} · ${seconds(to - begin)}${connection.from === null ? " or more" : ""}`;
    return this._bar(begin, to, `line ${state}`, text, `connection ${connection.source}: ${text}`, null);
  }

  _key(event) {
    const act = {
      ArrowLeft: () => this.pan(-this.span / 5), ArrowRight: () => this.pan(this.span / 5),
      "+": () => this.zoom(-1), "=": () => this.zoom(-1), "-": () => this.zoom(1),
      Home: () => this.pan(-Infinity), End: () => this.follow(),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act();
  }

  _drags(box) {
    let from = null;
    box.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && !event.target.closest(".bar")) from = { x: event.clientX, end: this.end };
    });
    addEventListener("pointermove", (event) => {
      if (!from) return;
      this.end = from.end;
      this.pan(((from.x - event.clientX) / this._width()) * this.span);
    });
    addEventListener("pointerup", () => { from = null; });
  }
}

function byNumber(one, other) {
  return one.localeCompare(other, undefined, { numeric: true });
}

// Over HTTP requests have no lanes: those that run at once stand below each other.
function packed(requests, now) {
  const rows = [];
  for (const each of requests) {
    const free = rows.find((row) => (row.at(-1).to ?? now) <= each.from);
    if (free) free.push(each);
    else rows.push([each]);
  }
  return rows;
}

// The call as a whole: how it went, and all that was out of the ordinary, each with its turn.

import { told } from "./detail.js";
import { clock, count, make, seconds, since } from "./dom.js";
import { story } from "./story.js";
import { lookForSeams } from "./wire.js";

const MOST = 200;

export class Overview {
  constructor(box, choose) {
    this.box = box;
    this.choose = choose;
    this.isOpen = false;
    this.state = "";
  }

  open() {
    this.isOpen = true;
    this.state = null;
  }

  close() { this.isOpen = false; }

  show(session, source, now) {
    if (!this.isOpen || !source) return;
    // What is read is not to move unless something has changed.
    const sum = (of) => session.turns.reduce((all, turn) => all + of(turn), 0);
    const state = [source.header.key, session.forgotten, session.turns.length, session.notes.length, session.requests.length,
      sum((turn) => (turn.to === null ? 0 : 1)), sum((turn) => turn.events.length + turn.errors.length), sum((turn) => turn.events.filter((each) => each.seam).length)].join();
    if (state === this.state) return;
    const top = this.state === null ? 0 : this.box.querySelector(".body")?.scrollTop ?? 0;
    this.state = state;
    const { started } = source.header;
    const odd = session.turns.map((turn) => [turn, story(turn, source.advice).filter((each) => each.kind !== "fine")]).filter(([, steps]) => steps.length);
    const bad = odd.filter(([, steps]) => steps.some((each) => each.kind === "bad")).length;
    const summary = !session.turns.length ? "Nothing has happened yet."
      : `${session.forgotten ? "The last " : ""}${count(session.turns.length, "turn")}${session.forgotten ? ` of ${session.turns.length + session.forgotten}` : ""} in ${seconds(now - (session.forgotten ? session.turns[0].from : 0))}. ${odd.length ? `${count(odd.length, "turn")} with something out of the ordinary, ${bad} of them with something wrong.` : "Nothing out of the ordinary."}`;
    const body = make("div", { class: "body" });
    if (odd.length > MOST) body.append(make("p", { class: "hint", text: `The last ${MOST} of ${odd.length}; “Show” finds the others.` }));
    for (const [turn, steps] of odd.slice(-MOST).reverse()) {
      // It is shown as soon as it is known, when this is drawn again.
      lookForSeams(turn, source).catch(() => {});
      body.append(make("button", { class: "of", onclick: () => this.choose(turn) },
        make("b", { text: `Turn ${turn.number}` }), ` at ${since(turn.from)} (${clock(started, turn.from)}), ${turn.outcome ?? "running"}`),
      told(steps, started));
    }
    const beside = session.notes.filter((note) => note.what === "connection refused");
    if (beside.length) {
      body.append(make("h3", { text: "Connections that were refused" }),
        make("ol", { class: "log" }, ...beside.slice(-MOST).map((note) => make("li", {}, make("time", { text: since(note.at), title: clock(started, note.at) }), ` ${note.text}`))));
    }
    body.append(make("p", { class: "hint", text: "Choose a turn, by a click or with the arrow keys, to see what was said, sent and received." }));
    this.box.replaceChildren(make("header", {}, make("h2", { text: "How the call went" }), make("p", { class: "why", text: summary }),
      odd.length ? make("p", { class: "hint", text: "The newest first; times are from the beginning of the call. Red and thick: what ought not to be. Amber and double: what follows from it, or is usual." }) : null), body);
    body.scrollTop = top;
  }
}

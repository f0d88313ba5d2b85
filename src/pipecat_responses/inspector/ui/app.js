// The page: asks for what is new, keeps the time line, the list and the details up to date.

import { Detail, facts, snippet, table } from "./detail.js";
import { at, bytes, clock, count, make, moves, seconds, since } from "./dom.js";
import { WindowedList } from "./lists.js";
import { Session, answering, badges, connectionState, endOf, passes, sentBytes, words } from "./model.js";
import { Overview } from "./overview.js";
import { Live, Opened, learn } from "./source.js";
import { heardOf } from "./story.js";
import { Timeline } from "./timeline.js";

const EVERY = 500;
const ROW = 44;

const opened = [];
let source = null;
let session = new Session();
let chosen = null;
let paused = false;
let visible = [];
let found = null;
let offset = 0;
const texts = new Map();

const timeline = new Timeline((turn) => choose(turn));
const detail = new Detail(at("detail"));
const overview = new Overview(at("detail"), (turn) => choose(turn));
const list = new WindowedList(at("list"), ROW, drawTurn);
list.onshow = () => wantTexts();

// -- sessions ----------------------------------------------------------------------------------

async function look() {
  const there = await Live.all();
  const all = [...there.map((header) => new Live(header)), ...opened];
  const select = at("session");
  const names = all.map((each) => `${each.header.name}${each.header.ended ? " (ended)" : ""}`);
  if ([...select.options].map((each) => each.textContent).join("\n") !== names.join("\n")) {
    select.replaceChildren(...all.map((each, index) => make("option", { value: each.header.key, text: names[index], title: names[index] })));
  }
  if (!source || (source instanceof Live && !there.some((each) => each.key === source.header.key))) {
    use(all[0] ?? null);
  }
  if (source) select.value = source.header.key;
  select.title = source?.header.name ?? "";
  return all;
}

function use(next) {
  source = next;
  session = new Session();
  found = null;
  texts.clear();
  at("search").value = "";
  pauseTo(false);
  unchoose();
  overview.open();
  timeline.follows = true;
  timeline.fits = Boolean(source?.header.ended);
}

async function news() {
  if (!source) return false;
  const from = source;
  let changed = false;
  for (let more = true; more;) {
    const told = await from.marks(session.seq);
    if (from !== source) return true;
    from.header = { ...from.header, ...told, records: undefined };
    for (const record of told.records) {
      // One that makes no sense, as in a file that somebody has changed, does not hide the others.
      try { session.add(record); } catch (error) { console.debug(error); }
    }
    changed = changed || told.records.length > 0;
    more = told.more;
  }
  offset = from.header.age;
  return changed;
}

async function watch() {
  try {
    const all = await look();
    at("state").textContent = stateOf(all);
    const changed = await news();
    if (!paused) show(changed);
    say("");
  } catch (error) {
    at("state").textContent = "The inspector does not answer; what was seen stays here.";
    at("state").className = "away";
  }
  setTimeout(watch, EVERY);
}

function stateOf() {
  if (!source) return "No service is watched.";
  const header = source.header;
  at("state").className = header.ended ? "ended" : "live";
  const began = new Date(header.started * 1000);
  const today = began.toDateString() === new Date().toDateString();
  const since = today ? began.toLocaleTimeString([], { hour12: false }) : began.toLocaleString([], { hour12: false });
  return `${header.ended ? "ended, began" : "live since"} ${since}${header.words ? "" : " · without words"}${paused ? " · paused" : ""}`;
}

// No turn is chosen any more.
function unchoose() {
  chosen = null;
  detail.turn = null;
  overview.close();
  refilter();
  timeline.unchoose();
}

// -- showing -----------------------------------------------------------------------------------

function show(changed) {
  const now = source?.header.ended ? session.now : Math.max(session.now, offset);
  timeline.show(session, source?.header.started ?? 0, now);
  // Nothing more comes.
  for (const name of ["pause", "follow"]) at(name).hidden = Boolean(source?.header.ended);
  if (changed || session.turns.some((turn) => turn.to === null)) refilter();
  if (chosen) detail.show(chosen, session, source, now);
  else overview.show(session, source, now);
  at("summary").textContent = summary();
}

function refilter() {
  const filter = at("filter").value;
  const text = at("search").value.trim().toLowerCase();
  visible = session.turns.filter((turn) => passes(turn, filter)
    && (!text || words(turn).includes(text) || found?.has(turn.number))).reverse();
  list.set(visible);
  at("list").setAttribute("aria-activedescendant", chosen && visible.includes(chosen) ? `turn-${chosen.number}` : "");
  at("nothing").hidden = visible.length > 0;
  at("nothing").textContent = session.turns.length ? "No turn is like that." : "Nothing has happened yet.";
}

function summary() {
  const turns = session.turns.filter((turn) => turn.report);
  if (!turns.length) return "";
  const first = turns.map((turn) => turn.report.times?.first_text).filter((each) => each !== undefined && each !== null).sort((one, other) => one - other);
  const incremental = turns.filter((turn) => turn.report.incremental).length;
  const failed = turns.filter((turn) => turn.outcome === "failed").length;
  return [
    `${session.forgotten ? "the last " : ""}${count(session.turns.length, "turn")}`, `${Math.round((incremental / turns.length) * 100)} % incremental`,
    first.length ? `first text after ${seconds(first[Math.floor(first.length / 2)])} (median)` : "", `${bytes(sentBytes(session.requests))} sent`,
    failed ? `${failed} failed` : "",
  ].filter(Boolean).join(" · ");
}

function drawTurn(turn) {
  const report = turn.report;
  const { requests } = turn;
  const usage = report?.usage;
  const cached = usage?.input ? `${Math.round((usage.cached / usage.input) * 100)} %` : "–";
  const [user, bot] = shownTexts(turn);
  return make("div", {
    class: `turn ${turn.outcome ?? "running"}`, id: `turn-${turn.number}`, role: "option",
    "aria-selected": String(turn === chosen), onclick: () => choose(turn),
  },
  make("span", { class: "number", text: `${turn.number}` }),
  make("span", { class: "said" }, make("span", { class: "user", text: user, title: user }), make("span", { class: "bot", text: bot, title: bot })),
  make("span", { class: "sent", text: requests.length ? bytes(sentBytes(requests)) : "–", title: requests.map((each) => `${each.purpose}: ${count(each.items, "item")}, ${bytes(each.bytes)}`).join("\n") }),
  make("span", { class: "cached", text: cached }),
  make("span", { class: "first", text: seconds(report?.times?.first_text ?? report?.times?.first_call) }),
  make("span", { class: "badges" }, ...badges(turn).map(({ kind, text, severity, title }) => make("span", { class: `badge ${kind} ${severity}`, text, title }))));
}

// What was asked and what was said, of an answer that was cut as far as it was heard.
function shownTexts(turn) {
  const [user, bot] = texts.get(turn.number) ?? ["", ""];
  if (turn.outcome !== "interrupted" || !bot) return [user, bot];
  const after = session.after(turn);
  const heard = heardOf(bot, after && texts.get(after.number)?.[3]);
  return [user, `${bot.slice(0, heard ?? bot.length)} …`];
}

function choose(turn) {
  chosen = turn;
  timeline.reveal(turn);
  refilter();
  const index = visible.indexOf(turn);
  if (index >= 0) list.reveal(index);
  overview.close();
  detail.state = null;
  detail.show(turn, session, source, session.now);
}

// What was said is asked for only of the turns that are seen.
let asking = null;
function wantTexts() {
  asking ??= setTimeout(() => { asking = null; fetchTexts().catch(() => {}); }, 120);
}

async function fetchTexts() {
  if (!source) return;
  const [first, last] = list.seen;
  const wanted = new Map();
  for (const turn of visible.slice(first, last)) {
    const had = texts.get(turn.number);
    if (had && (had[2] || turn.to === null)) continue;
    const request = turn.requests[0];
    const ended = answering(turn).findLast((each) => each.last)?.last;
    if (request) wanted.set(request.seq, [turn, 0]);
    if (turn.last) wanted.set(turn.last, [turn, 1]);
    if (ended) wanted.set(ended, [turn, 2]);
    if (!had) texts.set(turn.number, ["", "", turn.to !== null, null]);
    else had[2] = turn.to !== null;
  }
  if (!wanted.size) return;
  const from = source;
  const records = await from.some([...wanted.keys()].slice(0, 200));
  if (from !== source) return;
  for (const record of records) {
    const [turn, place] = wanted.get(record.seq) ?? [];
    if (!turn) continue;
    const text = texts.get(turn.number);
    if (place === 0) [text[0], text[3]] = [snippet(record).slice(0, 300), record];
    // What was said, or else what was called.
    else text[1] = (place === 1 ? record.said : "") || text[1] || snippet(record).slice(0, 300);
  }
  list.show(true);
}

// -- what people do ------------------------------------------------------------------------------

at("session").onchange = async () => {
  const all = [...(await Live.all()).map((header) => new Live(header)), ...opened];
  use(all.find((each) => each.header.key === at("session").value) ?? null);
  await news().catch((error) => say(error.message));
  show(true);
};

at("filter").onchange = refilter;

let typing = null;
at("search").oninput = () => {
  clearTimeout(typing);
  found = null;
  refilter();
  const text = at("search").value.trim();
  if (text.length < 2 || !source) return;
  typing = setTimeout(async () => {
    const from = source;
    const seqs = await from.search(text).catch(() => []);
    if (from !== source || at("search").value.trim() !== text) return;
    const turns = seqs.map((seq) => session.turnAt(seq)?.number);
    found = new Set(turns);
    refilter();
  }, 150);
};

function pauseTo(on) {
  paused = on;
  at("pause").setAttribute("aria-pressed", String(paused));
  at("pause").textContent = paused ? "Go on" : "Pause";
}

at("pause").onclick = () => {
  pauseTo(!paused);
  if (!paused) show(true);
};

at("connections").onclick = () => {
  unchoose();
  const rows = [...session.connections.values()].map((each) => {
    const requests = session.requests.filter((one) => one.transport === "websocket" && one.source === each.source);
    const begin = each.from ?? each.seen;
    return [
      `c${each.source}`, each.seconds === null ? "before anybody looked" : seconds(each.seconds),
      seconds((each.to ?? Math.max(session.now, offset)) - begin),
      connectionState(each),
      new Set(requests.map((one) => one.lane)).size, requests.length, bytes(sentBytes(requests)),
      endOf(each, session),
    ];
  });
  const known = [...session.connections.values()].at(-1)?.capabilities;
  at("detail").replaceChildren(make("header", {}, make("h2", { text: "Connections" })), make("div", { class: "body" },
    table(["", "opened in", "age", "state", "lanes", "requests", "sent", "why it ended"], rows),
    known ? make("h3", { text: "What the server can do" }) : null,
    known ? facts(Object.entries(known).map(([name, can]) => [name.replaceAll("_", " "), can === null ? "not known" : can ? "yes" : "no"])) : null,
    session.notes.length ? make("h3", { text: "What was found out" }) : null,
    make("ol", { class: "log" }, ...session.notes.slice(-200).map((note) => make("li", {}, make("time", { text: since(note.at), title: clock(source.header.started, note.at) }), ` ${note.what}: ${note.text}`)))));
};

at("explain").onclick = () => {
  unchoose();
  at("detail").replaceChildren(at("glossary").content.cloneNode(true));
};

at("call").onclick = () => {
  unchoose();
  overview.open();
  show(false);
};

at("export").onclick = async () => {
  if (!source) return;
  try {
    const blob = await source.save(at("words").checked);
    const link = make("a", { href: URL.createObjectURL(blob), download: `${source.header.name.replace(/[^\w.-]+/g, "-")}.jsonl` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  } catch (error) {
    say(error.message);
  }
};

at("import").onclick = () => at("file").click();
at("file").onchange = async () => {
  const [file] = at("file").files;
  at("file").value = "";
  if (!file) return;
  try {
    const next = await Opened.read(file);
    const place = opened.findIndex((each) => each.header.key === next.header.key);
    opened.splice(place < 0 ? opened.length : place, place < 0 ? 0 : 1, next);
    await look();
    use(next);
    await news();
    at("session").value = next.header.key;
    show(true);
    say("");
  } catch (error) {
    say(error.message);
  }
};

at("list").addEventListener("keydown", (event) => {
  const to = moves(event, visible.indexOf(chosen), visible.length, list.page);
  if (to !== null) choose(visible[to]);
});

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "/") at("search").focus();
  else if (event.key === "p") at("pause").click();
  else if (event.key === "f") timeline.follow();
  else if (event.key === "o") at("call").click();
  else if (event.key === "?") at("explain").click();
  else return;
  event.preventDefault();
});

function say(problem) {
  at("problem").textContent = problem;
  at("problem").hidden = !problem;
}

learn().catch(() => {}).then(watch);

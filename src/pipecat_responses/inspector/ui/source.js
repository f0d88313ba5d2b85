// Where sessions come from: the inspector, or a file that was opened in this page. Both are asked
// the same way. Addresses are relative, since the token stands in the page's own.

import { bytes } from "./dom.js";
import { advised } from "./story.js";

const MARKED = new Set([
  "response.created", "response.completed", "response.failed", "response.incomplete", "response",
  "error",
]);

// What there is to say about each error, by its name.
export const advice = new Map();

export async function learn() {
  const answer = await fetch("errors.md");
  if (answer.ok) for (const [name, text] of advised(await answer.text())) advice.set(name, text);
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error((await answer.text()).trim() || `${answer.status}`);
  return answer.json();
}

export class Live {
  constructor(header) {
    this.header = header;
    this.advice = advice;
    this.path = `api/sessions/${encodeURIComponent(header.key)}`;
  }

  static async all() {
    return (await ask("api/sessions")).sessions;
  }

  marks(since) { return ask(`${this.path}/marks?since=${since}`); }

  async wire(since, until) {
    const records = [];
    for (let from = since, more = true; more;) {
      const piece = await ask(`${this.path}/wire?since=${from}&until=${until}`);
      records.push(...piece.records);
      more = piece.more && records.length < 50000;
      if (more) from = records.at(-1).seq;
    }
    return records;
  }

  async some(seqs) { return (await ask(`${this.path}/some?seqs=${seqs.join(",")}`)).records; }

  async search(text) {
    return (await ask(`${this.path}/search?text=${encodeURIComponent(text)}`)).seqs;
  }

  async save(words) {
    const answer = await fetch(`${this.path}/file?words=${words ? 1 : 0}`, { cache: "no-store" });
    if (!answer.ok) throw new Error("The session is not there any more.");
    return answer.blob();
  }
}

// A browser holds a file whole, and several times.
const LARGEST = 64e6;

export class Opened {
  static async read(file) {
    if (file.size > LARGEST) throw new Error(`${file.name} is too large for this page (${bytes(file.size)}): pipecat-responses inspect FILE shows it.`);
    return new Opened(file.name, await file.text());
  }

  constructor(name, text) {
    const rows = text.split("\n");
    rows.pop();
    const head = rows.length ? read(rows[0], 1) : {};
    if (head.format !== "pipecat-responses session") throw new Error(`${name} is no session file.`);
    if (head.version !== 1) throw new Error(`${name} is of version ${head.version}; this page reads 1.${head.version > 1 ? " A newer pipecat-responses has written it, and can show it." : ""}`);
    this.text = text;
    this.advice = advice;
    this.lines = rows.slice(1).filter(Boolean).map((row, index) => read(row, index + 2));
    const last = this.lines.at(-1) ?? { seq: 0, at: 0 };
    this.header = {
      key: `opened-${name}`, name: `${head.name} (${name})`, started: head.started ?? 0, ended: true,
      latest: last.seq, age: last.at, words: head.words !== false,
    };
  }

  async marks(since) {
    const records = this.lines.filter((line) => line.seq > since
      && (line.record !== "event" || MARKED.has(line.kind)));
    return { ...this.header, records, more: false };
  }

  async wire(since, until) {
    return this.lines.filter((line) => line.seq > since && line.seq <= until && "message" in line);
  }

  async some(seqs) {
    const wanted = new Set(seqs);
    return this.lines.filter((line) => wanted.has(line.seq));
  }

  async search(text) {
    const sought = JSON.stringify(text.toLowerCase()).slice(1, -1);
    return this.lines.filter((line) => JSON.stringify([line.message, line.said]).toLowerCase().includes(sought))
      .map((line) => line.seq);
  }

  async save(words) {
    if (!words && this.header.words) {
      throw new Error("A file that was opened in this page is saved as it is, with its words: pipecat-responses inspect FILE can save it without.");
    }
    return new Blob([this.text], { type: "application/x-ndjson" });
  }
}

function read(row, number) {
  try {
    const line = JSON.parse(row);
    if (line && typeof line === "object" && !Array.isArray(line)) return line;
  } catch { /* said below */ }
  throw new Error(`Line ${number} is no JSON object.`);
}

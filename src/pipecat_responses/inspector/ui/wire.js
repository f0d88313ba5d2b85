// What went over the wire for a turn: its messages, the texts in them, and where an answer broke off.

import { answering } from "./model.js";

const TEXTS = ["response.output_text.delta", "response.refusal.delta"];
const LAST_WORDS = 4;

export function belongs(record, request) {
  return record.source === request.source && (record.lane ?? null) === (request.lane ?? null)
    && record.seq > request.seq && record.seq <= (request.last ?? request.until ?? Infinity);
}

// All that went over the wire for a turn's requests, to the end of the last one.
export async function wireOf(turn, source) {
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

// The text that came for a request, as it came: {seq, at, text}.
export function textsOf(request, records) {
  return records
    .filter((each) => each.record === "event" && TEXTS.includes(each.kind) && typeof each.message?.delta === "string" && belongs(each, request))
    .map(({ seq, at, message }) => ({ seq, at, text: message.delta }));
}

export const joined = (texts) => texts.map((each) => each.text).join("");

// Finds out once where the answer of a turn broke off and was taken up again, if it did: its
// events for that have a seam then, {offset, words, seconds, begin}. The records that are read all
// the time do not tell, as they have no texts.
export function lookForSeams(turn, source) {
  if (turn.to === null || !source.header.words || !turn.events.some((each) => each.resumes)) return Promise.resolve();
  turn.looking ??= seamsOf(turn, source);
  return turn.looking;
}

async function seamsOf(turn, source) {
  const [records, ends] = await Promise.all([wireOf(turn, source), source.some([turn.last])]);
  const said = ends[0]?.said ?? "";
  const requests = answering(turn).filter((each) => !each.hedge);
  let whole = "";
  let last = null;
  for (const request of requests) {
    const texts = textsOf(request, records);
    if (!texts.length) continue;
    const text = joined(texts);
    const again = repeated(whole, text, said);
    const event = turn.events.findLast((each) => each.resumes && each.seq < request.seq);
    if (event && last) {
      let seen = 0;
      const news = texts.find((each) => (seen += each.text.length) > again) ?? texts[0];
      event.seam = {
        offset: whole.length, words: whole.trim().split(/\s+/).slice(-LAST_WORDS).join(" "),
        seconds: news.at - last.at, begin: texts[0].at,
      };
    }
    whole += text.slice(again);
    last = texts.at(-1);
  }
}

// How much of a text that goes on with another one repeats its end, so that both are what was said.
function repeated(whole, text, said) {
  for (let length = 0; length <= Math.min(whole.length, text.length); length += 1) {
    if (whole.endsWith(text.slice(0, length)) && said.startsWith(whole + text.slice(length))) return length;
  }
  return 0;
}

// Texts beside each other and in pieces: the words that differ, and what was heard of an answer.

import { make } from "./dom.js";

// Words that are compared one by one; of more, all between the first and the last are marked.
const MOST = 600;

// Two texts as elements, each with the words marked that the other does not have there.
export function compared(one, other) {
  const left = one.match(/\s+|\S+/g) ?? [];
  const right = other.match(/\s+|\S+/g) ?? [];
  let begin = 0;
  while (begin < left.length && begin < right.length && left[begin] === right[begin]) begin += 1;
  let end = 0;
  while (end < left.length - begin && end < right.length - begin && left.at(-1 - end) === right.at(-1 - end)) end += 1;
  const middles = [left.slice(begin, left.length - end), right.slice(begin, right.length - end)];
  const [kept, keptToo] = middles.some((each) => each.length > MOST) ? [new Set(), new Set()] : common(...middles);
  const shown = (words, same) => words.map((word, index) => {
    const place = index - begin;
    const isSame = place < 0 || index >= words.length - end || same.has(place);
    return isSame || !word.trim() ? word : make("mark", { text: word });
  });
  return [shown(left, kept), shown(right, keptToo)];
}

// The places of the words in both that are the same, in the same order, as many as there are.
function common(one, other) {
  const long = Array.from({ length: one.length + 1 }, () => new Uint16Array(other.length + 1));
  for (let row = one.length - 1; row >= 0; row -= 1) {
    for (let column = other.length - 1; column >= 0; column -= 1) {
      long[row][column] = one[row] === other[column] ? long[row + 1][column + 1] + 1
        : Math.max(long[row + 1][column], long[row][column + 1]);
    }
  }
  const kept = [new Set(), new Set()];
  for (let row = 0, column = 0; row < one.length && column < other.length;) {
    if (one[row] === other[column]) {
      kept[0].add(row++);
      kept[1].add(column++);
    } else if (long[row + 1][column] >= long[row][column + 1]) row += 1;
    else column += 1;
  }
  return kept;
}

// What of a text can be seen: white space differs between what was sent, put out and written down.
export const squeezed = (text) => text.replace(/\s+/g, "");

// How many characters those are.
export const visible = (text) => squeezed(text).length;

// Where so many characters that can be seen have been.
export function behind(text, count) {
  for (let index = 0; index < text.length; index += 1) {
    if (count <= 0) return index;
    if (!/\s/.test(text[index])) count -= 1;
  }
  return text.length;
}

// A text as elements: what was heard, what was put out and not heard, and what came after that, by
// the places where each ends; with a mark where it broke off, at the offset of each seam.
export function pieces(text, heard, put, seams = []) {
  const cuts = [...new Set([0, heard, put, text.length, ...seams.map((each) => each.offset)])].filter((each) => each <= text.length).sort((one, other) => one - other);
  const found = [];
  cuts.forEach((from, index) => {
    const seam = seams.find((each) => each.offset === from);
    if (seam) found.push(make("span", { class: "seam", text: seam.text, title: seam.title }));
    const part = text.slice(from, cuts[index + 1] ?? text.length);
    if (!part) return;
    found.push(from < heard ? part : make(from < put ? "s" : "i", { text: part, title: from < put ? "put out, and not heard" : "came after the interruption" }));
  });
  return found;
}

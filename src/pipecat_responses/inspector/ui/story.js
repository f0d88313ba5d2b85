// What a turn has gone through, in sentences, for people who know nothing but this page: what
// happened, what it means, and what is to be done about it.

import { bytes, count, seconds } from "./dom.js";
import { answering, isSlow, reasonOf, said, severityOfFull } from "./model.js";
import { behind, squeezed, visible } from "./words.js";

const WHEN_FULL = {
  "context changed": "Both texts are shown below. An application that edits, moves or removes earlier messages makes the server read everything again, each time. It costs less to append a message, or to edit before the call begins.",
  "model changed": "Nothing, if the application has changed the model on purpose.",
  resumed: "Nothing: it follows from the answer that broke off.",
  reconnected: "Nothing: it follows from the end of the connection before it. “Connections” has why that ended.",
  "memory lost": "Nothing, if it is seldom. If it comes often, something on the way spreads one connection over several servers.",
  "no lanes": "Nothing: the server cannot do more. “pipecat-responses doctor” finds out what it can.",
  "no forks": "Nothing: the server cannot do more. “pipecat-responses doctor” finds out what it can.",
  "no continuation": "Nothing: the server cannot do more. “pipecat-responses doctor” finds out what it can.",
};

const WHEN_SLOW = {
  "lost attempt": "What it broke off with stands before.",
  connecting: "“Connections” has how long it took to open one, and why the one before it had ended. Beyond that it is the network.",
  "server busy": "Fewer requests at the same time, a higher limit of the account, or a second server to fall back on.",
  "full request": "See why everything was sent.",
  "large request": "Send smaller images, or shorter results of functions.",
  "cache missed": "What stands at the beginning (instructions, tools, first messages) has to stay the same from turn to turn.",
  reasoning: "A lower reasoning effort answers sooner.",
  "hosted tool": "The tool runs at the server; nothing here can make it faster.",
  "server slow": "The request was there in time, and the time passed at the server. If it stays like that: another model or service tier, or a hedge policy, which asks a second time when an answer is late.",
  "our side": "This process was busy with something else, or something blocked its event loop.",
};

// What to do about failures that were made good, if they are not seldom.
const WHEN_OFTEN = {
  connection: "Look for a proxy or a load balancer that ends connections which are idle or old, for restarts of the server, and at the network of this machine.",
  unended: "Look for a proxy or a load balancer that ends long answers, and for restarts of the server.",
  timeout: "Choose a model that begins sooner, or raise the limit that the message names (turn_limits).",
  rate_limit: "Send fewer requests at the same time, or ask for a higher limit of the account.",
  server: "Look at the provider's status page, or give it a second server to fall back on (hedge policy).",
};

// Steps of a turn, in order: when, how bad ("bad", "odd" or "fine"), what, what it means, what to
// do, and the request whose difference is to be shown.
export function story(turn, advice) {
  const steps = [];
  const step = (at, kind, text, means = "", todo = "", differs = null) => steps.push({ at, kind, text, means, todo, differs });
  const requests = answering(turn);
  const first = requests[0];
  const reason = first && !first.incremental ? reasonOf(first.why_full) : "";
  if (first && reason && reason !== "first" && reason !== "http" && !first.hedge) {
    step(first.from, severityOfFull(reason), `The whole conversation was sent again (${count(first.items, "item")}, ${bytes(first.bytes)})${change(first)}.`,
      first.explanation, WHEN_FULL[reason], first.difference ? first : null);
  }
  turn.events.forEach((event, index) => {
    step(event.at, ...happened(event, turn.events[index + 1]?.what === "retry", requests, advice));
  });
  if (requests.some((each) => each.hedge)) {
    const hedge = requests.find((each) => each.hedge);
    const won = turn.report?.hedged === "won";
    step(hedge.from, "odd", `The answer was late, so the request was sent a second time, and the ${won ? "second" : "first"} one answered.`);
  }
  for (const tool of turn.tools) {
    step(tool.from, "fine", `The model called ${tool.name}(${tool.arguments}), which ${tool.to === null ? "runs" : tool.cancelled ? `was cancelled after ${seconds(tool.to - tool.from)}` : `took ${seconds(tool.to - tool.from)}`}.`);
  }
  if (isSlow(turn)) {
    const late = turn.from + (turn.report.times?.answer ?? turn.report.times?.end ?? 0);
    step(late, "bad", `The caller waited ${seconds(turn.report.times?.answer ?? turn.report.times?.end)}. ${turn.report.why_slow}`, "", WHEN_SLOW[turn.report.cause]);
  }
  if (turn.report?.steered) step(turn.to, "odd", "The caller said more while the model answered, and the answer took it up.");
  if (turn.outcome === "interrupted") {
    step(turn.to, "odd", requests.length ? `The turn was interrupted, as by a caller who speaks. What was left of the answer was cancelled${afterwards(requests)}.` : "The turn was interrupted before anything was sent.",
      "", "Nothing: the next turn goes on from what was heard.");
  }
  if (turn.report?.status === "incomplete") {
    step(turn.to, "bad", `The server ended the answer before it was complete${turn.report.reason ? ` (${turn.report.reason})` : ""}.`,
      "What had come until then was put out.", turn.report.reason === "max_output_tokens" ? "Allow more output tokens, or ask for shorter answers." : "");
  }
  if (turn.outcome === "failed") {
    const why = turn.errors.length ? turn.errors : [{ message: "no error was reported" }];
    for (const error of why) {
      step(turn.to, "bad", `${requests.length ? "The turn failed" : "The turn failed before anything was sent"}: ${said(error)}`, ...meaning(error, advice));
    }
  }
  return steps.sort((one, other) => one.at - other.at);
}

// What the application has changed that the model had seen, in plain words.
function change(request) {
  const { changed_at: index, difference } = request;
  if (index === null || index === undefined) return "";
  const message = `message ${index + 1}`;
  if (difference && !difference.now) return `: ${message}, which the model has seen, is not in the context any more`;
  if (difference?.seen?.role === "assistant") return `: ${message} is not what the model had answered there`;
  return `: the application has changed ${message} after the model had seen it`;
}

// What the server did after the interruption.
function afterwards(requests) {
  const left = requests.findLast((each) => each.abandoned !== null && each.ended);
  if (!left) return "";
  const later = seconds(left.to - left.abandoned);
  return left.ended === "response.completed" ? `, but the server went on to its end (response.completed), for ${later} more, which nobody listened to`
    : `, and the server stopped ${later} later (${left.ended})`;
}

function happened(event, again, requests, advice) {
  if (event.what === "failed") {
    const request = requests.find((each) => each.number === event.number);
    const where = !request ? "" : request.transport === "http" ? " (over HTTP)" : ` (connection c${request.source})`;
    const { failure } = event.error;
    // One name is for both: what could not be opened, and what broke off.
    const [means, todo] = failure === "connection" && request ? ["The connection ended before the answer was complete.", WHEN_OFTEN.connection] : meaning(event.error, advice);
    const often = WHEN_OFTEN[failure] ?? `“pipecat-responses explain ${failure}” has more.`;
    return ["bad", `${said(event.error)}${where}.`.replace("..", "."), means,
      again ? `Nothing, if it is seldom: it was made good, as the next line says. If it comes often: ${often[0].toLowerCase()}${often.slice(1)}` : todo];
  }
  if (event.what === "retry") {
    const next = requests.find((each) => each.seq > event.seq);
    const where = event.elsewhere ? " at the second server" : next?.transport === "websocket" ? ` on connection c${next.source}` : "";
    const { seam } = event;
    const silence = seam ? ` After “… ${seam.words}” nothing new came for ${seconds(seam.seconds)}.` : "";
    const accepted = next?.created ? ` The server accepted the request ${seconds(next.created - event.at)} after the break.` : "";
    return event.resumes
      ? ["odd", `The turn asks for the rest of the answer${where}.${silence}${accepted}`, "The caller hears a pause there, or none if enough was left to be spoken, then the rest; no word twice."]
      : ["odd", `The turn sends its request again${where}${event.seconds < 0.001 ? " at once" : ` after ${seconds(event.seconds)}`}.`, "Nothing had been said yet: the caller has waited that much longer."];
  }
  if (event.what === "parked") return ["fine", "It was interrupted before anything was heard; its response goes on, and may answer the next turn."];
  return ["fine", "It goes on with the response that was interrupted."];
}

// What an error means and what to do, from what this package says of each by name.
function meaning(error, advice) {
  const [means = "", ...todo] = (advice.get(error.name) ?? advice.get(error.failure) ?? "").split("\n\n");
  return [means, todo.join(" ")].map((text) => text.replace(/\s+/g, " ").replaceAll("`", ""));
}

export function advised(markdown) {
  const found = new Map();
  for (const section of markdown.split(/^### /m).slice(1)) {
    const [name, ...text] = section.split("\n");
    found.set(name.trim(), text.join("\n").split(/^## /m)[0].trim());
  }
  return found;
}

// How much of what was put out the conversation goes on with, as the next turn's request shows it.
// Null: nobody can tell, as nothing was sent since.
export function heardOf(put, next) {
  if (!put || !next) return null;
  const input = next.message?.input;
  if (!Array.isArray(input)) return null;
  const user = input.findLastIndex((item) => item?.role === "user");
  const before = input.slice(0, user < 0 ? 0 : user);
  const from = before.findLastIndex((item) => item?.role !== "assistant") + 1;
  const texts = before.slice(from).map((item) => (typeof item.content === "string" ? item.content : (item.content ?? []).map((part) => part.text ?? "").join("")));
  if (!texts.length) return next.incremental ? put.length : user < 0 ? null : 0;
  return overlap(put, texts.join(" "));
}

// Where a text ends in another that begins with it, whatever white space there is in both.
function overlap(whole, part) {
  return squeezed(whole).startsWith(squeezed(part)) ? behind(whole, visible(part)) : null;
}

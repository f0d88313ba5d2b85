// OpenAI's agents SDK for JavaScript.
import {
  Agent,
  run as runAgent,
  setOpenAIAPI,
  setOpenAIResponsesTransport,
  setTracingDisabled,
  tool,
} from "@openai/agents";
import { z } from "zod";
import { WebSocket } from "ws";
import { check, count, counted, model, person, run, transport, turns, weather } from "./report.mjs";

// Part of Node from version 22 on.
globalThis.WebSocket ??= WebSocket;
setTracingDisabled(true);
setOpenAIAPI("responses");
setOpenAIResponsesTransport(transport);

const getWeather = tool({
  name: "get_weather",
  description: "Tells the weather of a city.",
  parameters: z.object({ city: z.string() }),
  execute: async () => "18 degrees",
});

const agent = (options = {}) => new Agent({ name: "Helper", instructions: "Be brief.", model, ...options });

await run({
  stream: async () => {
    const result = await runAgent(agent(), count, { stream: true });
    let text = "";
    for await (const piece of result.toTextStream()) text += piece;
    await result.completed;
    check(text, counted);
  },
  tool: async () => {
    const result = await runAgent(agent({ tools: [getWeather] }), weather);
    check(result.finalOutput, "18 degrees");
  },
  structured: async () => {
    const outputType = z.object({ name: z.string(), age: z.number().int() });
    const result = await runAgent(agent({ outputType }), person);
    check(Number.isInteger(result.finalOutput.age), true);
  },
  "three turns": async () => {
    let history = [];
    let result;
    for (const text of turns) {
      result = await runAgent(agent(), [...history, { role: "user", content: text }]);
      history = result.history;
    }
    check(result.finalOutput, "maple");
  },
});

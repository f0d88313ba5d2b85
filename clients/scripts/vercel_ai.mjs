// Vercel's AI SDK with its OpenAI provider.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { baseUrl, check, count, counted, model as name, person, run, turns, weather } from "./report.mjs";

const model = createOpenAI({ baseURL: baseUrl, apiKey: "sk-any" }).responses(name);

await run({
  stream: async () => {
    let text = "";
    for await (const piece of streamText({ model, prompt: count }).textStream) text += piece;
    check(text, counted);
  },
  tool: async () => {
    const tools = {
      get_weather: tool({
        description: "Tells the weather of a city.",
        inputSchema: z.object({ city: z.string() }),
        execute: async () => "18 degrees",
      }),
    };
    const result = await generateText({ model, prompt: weather, tools, stopWhen: stepCountIs(3) });
    check(result.text, "18 degrees");
  },
  structured: async () => {
    const schema = z.object({ name: z.string(), age: z.number().int() });
    const result = await generateText({ model, prompt: person, output: Output.object({ schema }) });
    check(Number.isInteger(result.output.age), true);
  },
  "three turns": async () => {
    const messages = [];
    let result;
    for (const content of turns) {
      messages.push({ role: "user", content });
      result = await generateText({ model, messages });
      messages.push({ role: "assistant", content: result.text });
    }
    check(result.text, "maple");
  },
});

// The official SDK for JavaScript.
import OpenAI from "openai";
import { baseUrl, check, count, counted, model, person, run, transport, turns, weather } from "./report.mjs";

const client = new OpenAI({ baseURL: baseUrl, apiKey: "sk-any" });
const tools = [
  {
    type: "function",
    name: "get_weather",
    description: "Tells the weather of a city.",
    strict: true,
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    },
  },
];
const format = {
  type: "json_schema",
  name: "person",
  strict: true,
  schema: {
    type: "object",
    properties: { name: { type: "string" }, age: { type: "integer" } },
    required: ["name", "age"],
    additionalProperties: false,
  },
};

async function overHttp(request) {
  let text = "";
  for await (const event of await client.responses.create({ model, stream: true, ...request })) {
    if (event.type === "response.output_text.delta") text += event.delta;
    if (event.type === "response.completed") return { ...event.response, text };
    if (event.type === "error") throw new Error(JSON.stringify(event));
  }
  throw new Error("no terminal event");
}

async function overWebSocket(socket, request) {
  let text = "";
  return new Promise((resolve, reject) => {
    const listen = (event) => {
      if (event.type === "response.output_text.delta") text += event.delta;
      if (event.type === "response.completed") {
        socket.off("event", listen);
        resolve({ ...event.response, text });
      }
      if (event.type === "error") reject(new Error(JSON.stringify(event)));
    };
    socket.on("event", listen);
    socket.on("error", reject);
    socket.send({ type: "response.create", model, ...request });
  });
}

function withAsk(work) {
  return async () => {
    if (transport === "http") return work(overHttp);
    const { ResponsesWS } = await import("openai/resources/responses/ws");
    const socket = new ResponsesWS(client);
    try {
      await work((request) => overWebSocket(socket, request));
    } finally {
      socket.close();
    }
  };
}

await run({
  stream: withAsk(async (ask) => check((await ask({ input: count })).text, counted)),
  tool: withAsk(async (ask) => {
    const first = await ask({ input: weather, tools });
    const call = first.output.find((item) => item.type === "function_call");
    check(Object.keys(JSON.parse(call.arguments)).join(), "city");
    const output = { type: "function_call_output", call_id: call.call_id, output: "18 degrees" };
    const second = await ask({ input: [output], previous_response_id: first.id, tools });
    check(second.text, "18 degrees");
  }),
  structured: withAsk(async (ask) => {
    const found = JSON.parse((await ask({ input: person, text: { format } })).text);
    check(Number.isInteger(found.age) && typeof found.name === "string", true);
  }),
  "three turns": withAsk(async (ask) => {
    let response;
    for (const input of turns) {
      response = await ask({ input, previous_response_id: response?.id });
    }
    check(response.text, "maple");
  }),
});

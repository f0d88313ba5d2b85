// The Codex command line, which runs one turn and prints its events.
import { execFile } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { baseUrl, check, count, counted, run, transport, turns } from "./report.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const home = mkdtempSync(join(tmpdir(), "codex-"));
writeFileSync(
  join(home, "config.toml"),
  `model = "gpt-5.2"
model_provider = "sandbox"
approval_policy = "never"
sandbox_mode = "danger-full-access"
[model_providers.sandbox]
name = "sandbox"
base_url = "${baseUrl}"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
supports_websockets = ${transport === "websocket"}
`,
);

function codex(...words) {
  return new Promise((resolve, reject) => {
    const options = { env: { ...process.env, CODEX_HOME: home }, cwd: home, timeout: 30_000 };
    const child = execFile(
      join(here, "node_modules/.bin/codex"),
      ["exec", "--json", "--skip-git-repo-check", ...words],
      options,
      (error, out, err) => {
        const events = out.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
        const said = events.map((event) => event.item).filter((item) => item?.type === "agent_message");
        if (error && !said.length) reject(new Error(`${error.message} ${err} ${out}`.slice(-500)));
        else resolve({ text: said.map((item) => item.text).join(" "), events });
      },
    );
    child.stdin.end();
  });
}

await run({
  stream: async () => check((await codex(count)).text, counted),
  tool: async () => {
    const { events } = await codex("call shell_command or exec_command: echo 18 degrees");
    check(events.some((event) => event.item?.type === "command_execution"), true);
  },
  structured: async () => {
    const schema = {
      type: "object",
      properties: { name: { type: "string" }, age: { type: "integer" } },
      required: ["name", "age"],
      additionalProperties: false,
    };
    writeFileSync(join(home, "schema.json"), JSON.stringify(schema));
    const { text } = await codex("--output-schema", join(home, "schema.json"), "Ada is 36 years old.");
    check(Number.isInteger(JSON.parse(text).age), true);
  },
  "three turns": async () => {
    await codex(turns[0]);
    await codex("resume", "--last", turns[1]);
    check((await codex("resume", "--last", turns[2])).text, "maple");
  },
});

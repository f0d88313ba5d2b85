// What the scripts have in common: each case is run, and told in a line of JSON.

export const [baseUrl, transport] = process.argv.slice(2);
export const model = "gpt-4.1";
export const count = "count to 20";
export const counted = Array.from({ length: 20 }, (_, index) => index + 1).join(", ") + ".";
export const weather = "What is the weather in San Francisco? Please call get_weather.";
export const turns = ["The word is maple.", "How are you?", "Which word was it?"];
export const person = "Ada is 36 years old.";

export async function run(cases) {
  for (const [name, work] of Object.entries(cases)) {
    let detail = "";
    try {
      await Promise.race([
        work(),
        new Promise((_, fail) => setTimeout(() => fail(new Error("20 s are over")), 20_000).unref()),
      ]);
    } catch (error) {
      detail = String(error?.stack ?? error).slice(0, 600) || "failed";
    }
    console.log(JSON.stringify({ case: name, ok: !detail, detail }));
  }
  process.exit(0);
}

export function check(found, wanted) {
  if (typeof wanted === "string" ? !String(found).includes(wanted) : found !== wanted) {
    throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(wanted)}`);
  }
}

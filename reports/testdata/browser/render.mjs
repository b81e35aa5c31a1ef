// Writes the page that Cucumber's html-formatter makes of messages: render.mjs MESSAGES PAGE
import { createReadStream, createWriteStream } from "node:fs";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { CucumberHtmlStream } from "@cucumber/html-formatter";
import { parseEnvelope } from "@cucumber/messages";

const [messages, page] = process.argv.slice(2);

async function* envelopes() {
  for await (const line of createInterface({ input: createReadStream(messages) })) yield parseEnvelope(line);
}

await pipeline(Readable.from(envelopes()), new CucumberHtmlStream(), createWriteStream(page));

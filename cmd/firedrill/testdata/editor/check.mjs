// Reads settings.json, a Go file with sentences and feature files, as an editor with support for Cucumber does, and prints
// what the editor would show: errors in the Go file, problems of each feature, and completions of "traffic from".
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  buildSuggestions, ExpressionBuilder, getGherkinCompletionItems, getGherkinDiagnostics, jsSearchIndex,
} from "@cucumber/language-service";
import { WasmParserAdapter } from "@cucumber/language-service/wasm";

const [settings, glue, ...features] = process.argv.slice(2);
const adapter = new WasmParserAdapter(join(dirname(fileURLToPath(import.meta.resolve("@cucumber/language-service"))), "../.."));
await adapter.init();
const types = JSON.parse(readFileSync(settings, "utf8"))["cucumber.parameterTypes"];
const built = new ExpressionBuilder(adapter).build([{ languageName: "go", uri: glue, content: readFileSync(glue, "utf8") }], types);
const expressions = built.expressionLinks.map((link) => link.expression);

const problems = {};
for (const file of features) {
  problems[file] = getGherkinDiagnostics(readFileSync(file, "utf8"), expressions).map((d) => d.message);
}
const typed = "Feature: F\n  Scenario: S\n    When traffic from";
const items = getGherkinCompletionItems(typed, { line: 2, character: 21 }, jsSearchIndex(buildSuggestions(built.registry, [], expressions)));
console.log(JSON.stringify({
  errors: built.errors.map(String), sentences: expressions.length, problems, completions: items.map((i) => i.label),
}));

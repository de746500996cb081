// The version of this package, from its package.json beside src/ or dist/.

import { readFileSync } from "node:fs";

// Read at the start: later there may be no file left to open.
const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};

export function packageVersion(): string {
  return version;
}

// Writes the reference of every configuration key into README.md: `node docs/write-reference.ts`.

import { readFileSync, writeFileSync } from "node:fs";
import { withReference } from "../src/config/reference.ts";

const readme = new URL("../README.md", import.meta.url);
writeFileSync(readme, withReference(readFileSync(readme, "utf8")));

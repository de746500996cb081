// A resolved configuration on its way to a running Weir that is to say what a reload to it would do. Text
// that may be a secret is replaced by a digest: the two can still be compared, and nothing is given away.

import { createHmac } from "node:crypto";
import { z } from "zod";
import { entriesOf } from "./raw.ts";
import type { Config } from "./schema.ts";
import type { KeyPath } from "./problems.ts";
import { HIDDEN, isKey, showValue } from "./shown-value.ts";

/** As plain as JSON; read only what `parseVeiled` has looked at, and compare the rest. */
export interface VeiledConfig {
  readonly salt: string;
  readonly config: Config;
}

const MIN_SALT_LENGTH = 16;

/** What is read of a veiled configuration besides comparing it. */
const outline = z.object({
  salt: z.string().min(MIN_SALT_LENGTH).max(100),
  config: z.looseObject({
    listeners: z.array(z.looseObject({})),
    admin: z.looseObject({}).nullable(),
    pools: z.record(
      z.string(),
      z.looseObject({
        onRemove: z.object({
          mode: z.enum(["drain", "keep", "close"]),
          grace: z.number(),
          spread: z.number(),
        }),
        backends: z.array(
          z.looseObject({
            id: z.string(),
            resolve: z.enum(["first", "all"]),
            target: z.looseObject({ host: z.string(), socketPath: z.string().nullable() }),
          }),
        ),
      }),
    ),
  }),
});

/**
 * The configuration with digests in place of text that may be a secret; equal texts at equal places under
 * one salt have equal digests.
 *
 * @param salt of the caller, new for each use: nobody can have digests of guesses ready
 */
export function veil(config: Config, salt: string): VeiledConfig {
  // By way of JSON, which knows no undefined: what comes over the wire is compared with what does not.
  return { salt, config: JSON.parse(JSON.stringify(veiled(config, [], salt))) as Config };
}

/** Null for what is no veiled configuration. */
export function parseVeiled(value: unknown): VeiledConfig | null {
  const parsed = outline.safeParse(value);
  return parsed.success ? (parsed.data as unknown as VeiledConfig) : null;
}

function veiled(value: unknown, path: KeyPath, salt: string): unknown {
  if (typeof value === "string") return isSecret(value, path) ? digestOf(value, salt) : value;
  if (Array.isArray(value)) return value.map((item) => veiled(item, [...path, 0], salt));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(entriesOf(value).map(([key, item]) => [key, veiled(item, [...path, key], salt)]));
}

/** What has no key follows from what has one, and holds no secret: parts of addresses, names of routes. */
function isSecret(value: string, path: KeyPath): boolean {
  return isKey(path) && showValue(value, path) === HIDDEN;
}

function digestOf(text: string, salt: string): string {
  return createHmac("sha256", salt).update(text).digest("base64url");
}

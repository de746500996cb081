// The kinds of value that keys hold, as zod schemas: each parses what a person writes into plain data
// and carries a `title` and a `pattern` for the JSON Schema and the reference.

import { isIP } from "node:net";
import { z } from "zod";
import { AddressError, parseBackendUrl, parseBind } from "./addresses.ts";
import { parseBlock } from "./cidr.ts";
import type { Rate } from "./schema-limits.ts";
import {
  describeValue,
  notA,
  parseByteRate,
  parseDuration,
  parsePercent,
  parseRate,
  parseSize,
  type Unit,
  UNIT_PATTERNS,
  UnitError,
} from "./units.ts";

/** The one word for none; `false` is understood as well. */
export const OFF = z.literal(["off", false]).meta({ title: "off" });

/** `off` becomes null. */
export function offOr<Schema extends z.ZodType>(schema: Schema) {
  return z
    .union([OFF, schema])
    .transform((value): z.output<Schema> | null =>
      value === "off" || value === false ? null : (value as z.output<Schema>),
    );
}

/**
 * A string that `parse` understands; what it throws becomes the error at the key.
 *
 * @param reject says what is wrong with a value that is no string
 */
export function parsed<T>(parse: (text: string) => T, reject: (value: unknown) => string, title: string) {
  return z
    .string({ error: ({ input }) => reject(input) })
    .transform((text, context): T => {
      try {
        return parse(text);
      } catch (error) {
        if (!(error instanceof UnitError || error instanceof AddressError)) throw error;
        context.addIssue({ code: "custom", message: error.message, input: text });
        return z.NEVER;
      }
    })
    .meta({ title });
}

/** `X is not EXPECTED`. */
export function isNot(expected: string): (value: unknown) => string {
  return (value) => `${describeValue(value)} is not ${expected}`;
}

interface Bounds {
  /** As written, for the message. */
  readonly min?: string;
  readonly max?: string;
}

function quantity(unit: Unit, parse: (text: string) => number, title: string, { min, max }: Bounds) {
  const least = min === undefined ? 0 : parse(min);
  const most = max === undefined ? Number.POSITIVE_INFINITY : parse(max);
  function parseBounded(text: string): number {
    const value = parse(text);
    if (value < least) throw new UnitError(`${describeValue(text)} is below the minimum of ${min}`);
    if (value > most) throw new UnitError(`${describeValue(text)} is above the maximum of ${max}`);
    return value;
  }
  return parsed(parseBounded, (value) => notA(unit, value), title).meta({
    title,
    pattern: UNIT_PATTERNS[unit],
  });
}

/** Milliseconds. */
export function duration(bounds: Bounds = { min: "1ms" }) {
  return quantity("duration", parseDuration, "duration", bounds);
}

/** Bytes. */
export function size(bounds: Bounds = { min: "1B" }) {
  return quantity("size", parseSize, "size", bounds);
}

/** A fraction. */
export function percent(bounds: Bounds = { max: "100%" }) {
  return quantity("percent", parsePercent, "percentage", bounds);
}

/** Per second, where there is no burst. */
export function pace() {
  return quantity("rate", parseRate, "rate", {});
}

/** A whole number; digits in a string count too, since `"${NAME}"` is a string. */
export function integer(min: number, max: number) {
  const error = ({ input }: { input?: unknown }) =>
    `${describeValue(input)} is not a whole number from ${min} to ${max}`;
  const number = z.int({ error }).min(min, { error }).max(max, { error });
  const digits = z.string().regex(/^\d+$/, { error }).transform(Number).pipe(number);
  return z.union([number, digits], { error }).meta({ title: `${min} to ${max}` });
}

/** `auto`, or a whole number. */
export function integerOrAuto(min: number, max: number) {
  return z.union([z.literal("auto"), integer(min, max)], {
    error: ({ input }) => `${describeValue(input)} is neither auto nor a whole number from ${min} to ${max}`,
  });
}

/** True or false, also written on or off. */
export function onOff() {
  return z
    .literal(["on", "off", true, false, "true", "false"], {
      error: ({ input }) => `${describeValue(input)} is not a switch: write on or off`,
    })
    .transform((value) => value === "on" || value === true || value === "true")
    .meta({ title: "on or off" });
}

/** Text of printable characters. */
export function text(title: string, maxLength = 1024) {
  return z
    .string({ error: ({ input }) => `${describeValue(input)} is not text: put it in quotes` })
    .min(1, { error: "is empty; leave the key out or write off" })
    .max(maxLength, { error: `is longer than ${maxLength} characters` })
    .refine(isPrintable, { error: "holds control characters" })
    .meta({ title });
}

/** Not a pattern, since not every validator of JSON Schemas knows what a control character is. */
function isPrintable(text: string): boolean {
  return !/\p{Cc}/u.test(text);
}

/** Path of a request, as it is sent. */
export function urlPath() {
  return pathOf(/^\/[^?#\s]*$/, "/");
}

/** Pattern that decoded paths are held against: they can have spaces. */
export function pathPattern() {
  return pathOf(/^[/*][^?#]*$/, "/ or *");
}

function pathOf(form: RegExp, beginning: string) {
  return z
    .string({ error: ({ input }) => `${describeValue(input)} is not a path like /chat` })
    .regex(form, {
      error: ({ input }) =>
        `${describeValue(input)} is not a path: it begins with ${beginning} and has no query`,
    })
    .refine(isPrintable, { error: "holds control characters" })
    .meta({ title: "path" });
}

/** Name of a pool or tier: it appears in metrics and in the admin API's paths. */
export const NAME = z
  .string()
  .max(64, { error: "a name has at most 64 characters" })
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, {
    error: ({ input }) =>
      `${describeValue(input)} is not a name: it has letters, digits, "_", "-" and ".", and begins with a letter or digit`,
  })
  .meta({ title: "name" });

/** Lower case. */
export function headerName() {
  return z
    .string({ error: ({ input }) => `${describeValue(input)} is not a header name` })
    .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, {
      error: ({ input }) => `${describeValue(input)} is not a header name`,
    })
    .transform((name) => name.toLowerCase())
    .meta({ title: "header name" });
}

/** A path on this machine; made absolute by `resolve.ts`. */
export function filePath() {
  return text("file", 4096);
}

export const bindAddress = parsed(parseBind, notAnAddress, "address");

/** What to say of a value that is no bind address; a bare port is the usual mistake. */
export function notAnAddress(value: unknown): string {
  if (typeof value === "number") return `a port alone needs a colon: write ":${value}"`;
  return `${describeValue(value)} is not an address like ":8080"`;
}

export const backendTarget = parsed(
  (url) => ({ url, target: parseBackendUrl(url) }),
  isNot("a backend URL like ws://host:port"),
  "ws, wss or unix URL",
);

/** A list of CIDR blocks, flat and without repetitions. */
export function blocks() {
  return z
    .array(parsed(parseBlock, isNot("an address block"), "CIDR, address, loopback or private"))
    .transform((lists) => [...new Set(lists.flat())]);
}

export const ipAddress = parsed(
  (address) => {
    if (isIP(address) === 0) throw new AddressError(`${describeValue(address)} is not an IP address`);
    return address;
  },
  isNot("an IP address"),
  "IP address",
);

/** http or https, for what Weir itself calls. */
export const httpUrl = parsed(
  (url) => {
    const parsedUrl = URL.parse(url);
    // Not echoed: whoever knows such a URL may have all that is behind it.
    if (parsedUrl === null || !/^https?:$/.test(parsedUrl.protocol))
      throw new AddressError("is not an http:// or https:// URL");
    if (parsedUrl.username !== "" || parsedUrl.password !== "")
      throw new AddressError("has a user or a password, which would not be sent");
    return url;
  },
  isNot("an http:// or https:// URL"),
  "URL",
);

/** `{ rate: 20/s, burst: 40 }`, or `20/s`. */
export function rateLimit() {
  return rateOr(z.strictObject(rateFields()).transform(withBurst));
}

/** `20/s`, or a mapping that may say more than a rate. */
export function rateOr<Mapping extends z.ZodType>(mapping: Mapping) {
  return z.union([rateText(parseRate, "rate"), mapping], {
    error: ({ input }) => `${describeValue(input)} is not a rate like { rate: 20/s, burst: 40 }`,
  });
}

/** The two keys of a rate, for sections that add their own. */
export function rateFields() {
  return {
    rate: pace().describe("How much per second (or minute, or hour) refills the bucket."),
    burst: integer(1, 1_000_000_000)
      .optional()
      .describe(
        "How much may pass at once: the size of the bucket. Left out: what one second refills, at least 1.",
      ),
  };
}

/** `{ rate: 1MiB/s, burst: 4MiB }`, or `1MiB/s`. */
export function byteRateLimit() {
  const fields = z.strictObject({
    rate: quantity("byteRate", parseByteRate, "bytes per second", {}).describe(
      "Bytes per second that refill the bucket.",
    ),
    burst: size().optional().describe("Bytes that may pass at once. Left out: what one second refills."),
  });
  return z.union([rateText(parseByteRate, "bytes per second"), fields.transform(withBurst)], {
    error: ({ input }) => `${describeValue(input)} is not a rate like { rate: 1MiB/s, burst: 4MiB }`,
  });
}

/** A bucket that never holds one whole token would let nothing through. */
export function withBurst<Fields extends { rate: number; burst?: number | undefined }>(
  fields: Fields,
): Omit<Fields, "burst"> & Rate {
  return { ...fields, burst: fields.burst ?? Math.max(1, Math.ceil(fields.rate)) };
}

function rateText(parse: (text: string) => number, title: string) {
  return parsed((text) => withBurst({ rate: parse(text) }), isNot("a rate"), title);
}

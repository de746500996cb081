// The log: one line per event, written by the main thread alone (workers send theirs over the channel).
// Messages are lower case and hold no tokens, headers or payload; facts go into fields.

import { Writable } from "node:stream";
import { type DestinationStream, pino } from "pino";
import { PinoPretty } from "pino-pretty";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Plain data, since a worker's lines cross a thread. */
export type LogFields = Readonly<
  Record<string, string | number | boolean | null | undefined | readonly string[]>
>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** Takes the `log` section of a new configuration over; a log without this is its owner's to change. */
  configure?(options: LogOptions): void;
  /** Writes out what is still buffered; call it before the process ends. */
  flush(): void;
}

export interface LogOptions {
  readonly level: string;
  /** `json`: one object a line; `pretty`: for people. */
  readonly format: "json" | "pretty";
}

/**
 * What a terminal may take for a command, or what turns the direction of the text behind it, and JSON lets
 * stand: a client may send it in a header that a line names.
 */
const UNPRINTABLE = /[\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Lines are dropped past this many bytes unwritten, so that a reader that hangs costs no memory. */
const MAX_UNWRITTEN_BYTES = 16 * 1024 * 1024;

/** A log on standard output. A reader that is slow delays no event loop: lines are written as it reads. */
export function createLog({ level, format }: LogOptions): Log {
  const lines = pino.destination({ dest: 1, sync: false, maxLength: MAX_UNWRITTEN_BYTES });
  let pretty: DestinationStream | null = null;
  const outputOf = (wanted: LogOptions["format"]): DestinationStream =>
    wanted === "json" ? lines : (pretty ??= PinoPretty({ destination: printableTo(lines) }));
  let output = outputOf(format);
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line) => output.write(printable(line)) },
  );
  return {
    debug: (message, fields = {}) => logger.debug(fields, message),
    info: (message, fields = {}) => logger.info(fields, message),
    warn: (message, fields = {}) => logger.warn(fields, message),
    error: (message, fields = {}) => logger.error(fields, message),
    configure: (next) => {
      logger.level = next.level;
      output = outputOf(next.format);
    },
    flush: () => lines.flushSync(),
  };
}

/** A line of JSON that means the same, and does nothing to a terminal. */
function printable(json: string): string {
  return json.replace(UNPRINTABLE, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** For lines that are no JSON any more: their escapes have been undone. */
function printableTo(lines: DestinationStream): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.write(printable(chunk.toString()));
      done();
    },
  });
}

// A log that is written as ever, and whose newest entries can be asked for.

import { LogBuffer } from "./log-buffer.ts";
import type { Log, LogFields, LogLevel, LogOptions } from "./log.ts";

const ORDER = ["trace", "debug", "info", "warn", "error", "silent"];

export class RememberingLog implements Log {
  readonly recent = new LogBuffer();
  readonly #log: Log;
  #level: string;

  constructor(log: Log, { level }: Pick<LogOptions, "level">) {
    this.#log = log;
    this.#level = level;
  }

  debug(message: string, fields: LogFields = {}): void {
    this.#write("debug", message, fields);
  }

  info(message: string, fields: LogFields = {}): void {
    this.#write("info", message, fields);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#write("warn", message, fields);
  }

  error(message: string, fields: LogFields = {}): void {
    this.#write("error", message, fields);
  }

  configure(options: LogOptions): void {
    this.#level = options.level;
    this.#log.configure?.(options);
  }

  flush(): void {
    this.#log.flush();
  }

  #write(level: LogLevel, message: string, fields: LogFields): void {
    this.#log[level](message, fields);
    if (ORDER.indexOf(level) >= ORDER.indexOf(this.#level)) this.recent.add(level, message, fields);
  }
}

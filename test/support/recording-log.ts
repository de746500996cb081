// A log that tells the test each line, instead of writing it.
import type { Log, LogFields, LogLevel } from "../../src/log.ts";

export function recordingLog(tell: (level: LogLevel, message: string, fields: LogFields) => void): Log {
  return {
    debug: (message, fields = {}) => tell("debug", message, fields),
    info: (message, fields = {}) => tell("info", message, fields),
    warn: (message, fields = {}) => tell("warn", message, fields),
    error: (message, fields = {}) => tell("error", message, fields),
    flush: () => {},
  };
}

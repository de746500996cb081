// A loopback address of this process alone. A port there that is closed stays free, and silent, until the test
// opens it again: on 127.0.0.1 another test may be given it meanwhile.
import process from "node:process";

/** Of 127.1.0.0 and above; a pid has 22 bits. */
export const ownHost = [127, 1 + (process.pid >> 16), (process.pid >> 8) & 0xff, process.pid & 0xff].join(
  ".",
);

// Preloaded into each thread of a Weir process (`--import`): the thread that is named by WEIR_TEST_HELD_THREAD
// writes a file as it starts, and does nothing more before the test has written another one. So a test has
// Weir wait for as long as it likes, in the middle of what the thread is needed for.
import { existsSync, writeFileSync } from "node:fs";
import process from "node:process";
import { threadName } from "node:worker_threads";

const POLL_MS = 5;

const { WEIR_TEST_HELD_THREAD: held, WEIR_TEST_HELD_AT: place = "" } = process.env;

if (threadName === held) {
  writeFileSync(`${place}.reached`, "");
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  while (!existsSync(`${place}.released`)) Atomics.wait(nobody, 0, 0, POLL_MS);
}

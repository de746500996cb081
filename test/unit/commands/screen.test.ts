// A terminal that is taken over is given back as it was, whichever way it ends.

import { EventEmitter } from "node:events";
import process from "node:process";
import type { ReadStream, WriteStream } from "node:tty";
import { expect, test } from "vitest";
import { piece } from "../../../src/commands/lines.ts";
import { Screen } from "../../../src/commands/screen.ts";

class FakeTerminal {
  readonly stdin = Object.assign(new EventEmitter(), {
    isTTY: true,
    isRaw: false,
    isPaused: false,
    setRawMode: (isRaw: boolean) => (this.stdin.isRaw = isRaw),
    pause: () => (this.stdin.isPaused = true),
  });
  readonly stdout = Object.assign(new EventEmitter(), {
    columns: 10,
    rows: 3,
    write: (text: string) => this.written.push(text),
  });
  readonly written: string[] = [];
  resizes = 0;
  readonly screen = new Screen({
    stdin: this.stdin as unknown as ReadStream,
    stdout: this.stdout as unknown as WriteStream,
    isColoured: false,
    onResize: () => (this.resizes += 1),
  });
}

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";

const endings: [how: string, end: (terminal: FakeTerminal) => void][] = [
  ["q", ({ stdin }) => stdin.emit("data", Buffer.from("q"))],
  ["Ctrl-C", ({ stdin }) => stdin.emit("data", Buffer.from("\u0003"))],
  ["the end of input", ({ stdin }) => stdin.emit("end")],
  ["SIGTERM", () => process.emit("SIGTERM")],
  ["SIGHUP", () => process.emit("SIGHUP")],
  ["its owner", ({ screen }) => screen.leave()],
];

test.each(endings)("%s gives the terminal back", async (_, end) => {
  const signals = process.listenerCount("SIGTERM");
  const terminal = new FakeTerminal();
  terminal.screen.enter();
  expect(terminal.stdin.isRaw).toBe(true);
  expect(terminal.written).toEqual([ENTER]);
  end(terminal);
  await terminal.screen.ended;
  terminal.screen.leave();
  terminal.screen.draw([[piece("late")]]);
  expect(terminal.written).toEqual([ENTER, LEAVE]);
  expect(terminal.stdin).toMatchObject({ isRaw: false, isPaused: true });
  expect(terminal.stdin.listenerCount("data") + terminal.stdout.listenerCount("resize")).toBe(0);
  expect(process.listenerCount("SIGTERM")).toBe(signals);
});

test("other keys, and the letters within the codes of function keys, end nothing", () => {
  const terminal = new FakeTerminal();
  terminal.screen.enter();
  for (const keys of ["x", "\u001b[A", "\u001bOq", " "]) terminal.stdin.emit("data", Buffer.from(keys));
  expect(terminal.stdin.isRaw).toBe(true);
  terminal.screen.leave();
});

test("lines are cut to the window, and a new size is told of", () => {
  const terminal = new FakeTerminal();
  terminal.screen.enter();
  terminal.stdout.emit("resize");
  expect(terminal.resizes).toBe(1);
  terminal.screen.draw(["first", "a second line", "third", "fourth"].map((text) => [piece(text)]));
  expect(terminal.written.at(-1)).toBe(
    "\u001b[Hfirst\u001b[K\r\na second …\u001b[K\r\nthird\u001b[K\u001b[J",
  );
  terminal.screen.leave();
});

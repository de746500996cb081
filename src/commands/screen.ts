// The terminal as a full screen: taken over and given back as it was, drawn without flicker, with the keys
// that end it. Nobody else writes to the terminal meanwhile.

import type { ReadStream, WriteStream } from "node:tty";
import process from "node:process";
import { type Line, textOf } from "./lines.ts";

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const REST_OF_LINE = "\u001b[K";
const REST_OF_SCREEN = "\u001b[J";

/** q, Ctrl-C and Ctrl-D, which a raw terminal hands over like any other key. */
const ENDING_KEYS = new Set([0x71, 0x03, 0x04]);

/** What arrow and function keys begin with; the letters in them are no keys. */
const ESCAPE = 0x1b;

const ENDING_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

interface ScreenOptions {
  readonly stdin: ReadStream;
  readonly stdout: WriteStream;
  readonly isColoured: boolean;
  readonly onResize: () => void;
}

export class Screen {
  readonly #options: ScreenOptions;
  readonly #left = Promise.withResolvers<void>();
  readonly #onKey = (keys: Buffer): void => {
    if (keys[0] !== ESCAPE && keys.some((key) => ENDING_KEYS.has(key))) this.leave();
  };
  readonly #onEnd = (): void => this.leave();
  #isOpen = false;

  constructor(options: ScreenOptions) {
    this.#options = options;
  }

  /** Resolves once the person, or a signal, has ended it. */
  get ended(): Promise<void> {
    return this.#left.promise;
  }

  get width(): number {
    return this.#options.stdout.columns;
  }

  get height(): number {
    return this.#options.stdout.rows;
  }

  enter(): void {
    const { stdin, stdout, onResize } = this.#options;
    this.#isOpen = true;
    stdout.write(ENTER);
    stdout.on("resize", onResize);
    if (stdin.isTTY) {
      stdin.setRawMode(true);
      stdin.on("data", this.#onKey);
      stdin.on("end", this.#onEnd);
    }
    for (const signal of ENDING_SIGNALS) process.on(signal, this.#onEnd);
    // However the process ends, the terminal is usable afterwards.
    process.on("exit", this.#onEnd);
  }

  /** As many of the lines as there is room for. */
  draw(lines: readonly Line[]): void {
    if (!this.#isOpen) return;
    const { stdout, isColoured } = this.#options;
    const shown = lines
      .slice(0, this.height)
      .map((line) => `${textOf(line, this.width, isColoured)}${REST_OF_LINE}`);
    // Without a line break after the last one: it would scroll.
    stdout.write(`${HOME}${shown.join("\r\n")}${REST_OF_SCREEN}`);
  }

  /** Gives the terminal back; more than once is as good as once. */
  leave(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const { stdin, stdout, onResize } = this.#options;
    stdout.write(LEAVE);
    stdout.off("resize", onResize);
    if (stdin.isTTY) {
      stdin.setRawMode(false);
      stdin.off("data", this.#onKey);
      stdin.off("end", this.#onEnd);
      stdin.pause();
    }
    for (const signal of ENDING_SIGNALS) process.off(signal, this.#onEnd);
    process.off("exit", this.#onEnd);
    this.#left.resolve();
  }
}

// Lines for a terminal, made of pieces with a style each, so that they can be cut to its width before any
// escape code is in them. Text from outside becomes harmless here.

import { fitted, plain, widthOf } from "./plain-text.ts";

export type Style = "bold" | "dim" | "good" | "warn" | "bad";

export interface Piece {
  readonly text: string;
  readonly style: Style | null;
}

export type Line = readonly Piece[];

const ESCAPES: Readonly<Record<Style, string>> = {
  bold: "\u001b[1m",
  dim: "\u001b[2m",
  good: "\u001b[32m",
  warn: "\u001b[33m",
  bad: "\u001b[31m",
};

const RESET = "\u001b[0m";

/** Eighths of a cell. */
const PARTS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** Whatever it is made of: a user's name as much as our own words. */
export function piece(text: string, style: Style | null = null): Piece {
  return { text: plain(text), style };
}

/** How full something is. */
export function bar(fraction: number, width: number): Piece {
  const eighths = Math.round(Math.min(1, Math.max(0, fraction)) * width * 8);
  const full = "█".repeat(Math.floor(eighths / 8));
  const text = `${full}${PARTS[eighths % 8] ?? ""}`;
  const style = fraction >= 0.95 ? "bad" : fraction >= 0.8 ? "warn" : "good";
  return { text: `${text}${"░".repeat(width - widthOf(text))}`, style };
}

interface Column {
  readonly title: string;
  readonly side: "left" | "right";
}

/** Rows below their titles, each column as wide as its widest text, but for the first that `maxFirst` bounds. */
export function table(columns: readonly Column[], rows: readonly Line[], maxFirst: number): Line[] {
  const widths = columns.map(({ title }, index) => {
    const widest = Math.max(widthOf(title), ...rows.map((row) => widthOf(row[index]?.text ?? "")));
    return index === 0 ? Math.min(widest, maxFirst) : widest;
  });
  function aligned(row: Line): Line {
    return columns.flatMap(({ side }, index) => {
      const { text, style } = row[index] ?? piece("");
      return [piece("  "), { text: fitted(text, widths[index] ?? 0, side), style }];
    });
  }
  return [aligned(columns.map(({ title }) => piece(title, "dim"))), ...rows.map((row) => aligned(row))];
}

/** The line as text of this width at the most; without `isStyled` there is no escape code in it. */
export function textOf(line: Line, width: number, isStyled: boolean): string {
  let left = width;
  let text = "";
  for (const { text: whole, style } of line) {
    const part = widthOf(whole) > left ? fitted(whole, left) : whole;
    left -= widthOf(part);
    text += isStyled && style !== null && part !== "" ? `${ESCAPES[style]}${part}${RESET}` : part;
  }
  return isStyled ? text : text.trimEnd();
}

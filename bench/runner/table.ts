// Markdown tables and the numbers in them.

import type { Summary } from "./statistics.ts";

export function markdownTable(header: readonly string[], lines: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...lines.map((line) => (line[column] ?? "").length)),
  );
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  const rule = widths.map((width, column) =>
    column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`,
  );
  return [header, rule, ...lines].map((cells) => `| ${cells.map(pad).join(" | ")} |`).join("\n");
}

/** Three significant digits, but never fewer than the whole part has. */
export function formatNumber(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude >= 100) return Math.round(value).toLocaleString("en-US").replaceAll(",", " ");
  if (magnitude >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

/** The median, and behind it the least and the greatest where they differ. */
export function formatSummary(summary: Summary | null): string {
  if (summary === null) return "–";
  const [median, min, max] = [summary.median, summary.min, summary.max].map(formatNumber);
  return min === max ? `${median}` : `${median} (${min}–${max})`;
}

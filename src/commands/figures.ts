// Figures as people read them: rounded, with their unit, never wider than they need to be.

const THOUSANDS = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

const TIMES: readonly (readonly [unit: string, seconds: number])[] = [
  ["d", 86_400],
  ["h", 3_600],
  ["m", 60],
  ["s", 1],
];

/** `12,345`; `0.4` for what would be nothing. */
export function count(value: number): string {
  return value > 0 && value < 1 ? value.toFixed(1) : THOUSANDS.format(value);
}

/** `512 B`, `1.4 MiB`. */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1_024 && unit < SIZES.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${SIZES[unit] ?? ""}`;
}

/** `12%`, `0.4%`. */
export function share(fraction: number): string {
  const percent = fraction * 100;
  return `${percent === 0 || percent >= 10 ? Math.round(percent) : percent.toFixed(1)}%`;
}

/** `0.4 ms`, `12 ms`, `1.2 s`; `–` where nothing was measured. */
export function latency(ms: number | null): string {
  if (ms === null) return "–";
  if (ms >= 1_000) return `${(ms / 1_000).toFixed(1)} s`;
  return `${ms >= 10 || ms === 0 ? Math.round(ms) : ms.toFixed(1)} ms`;
}

/** Its two largest units: `3h 12m`, `45s`. */
export function span(seconds: number): string {
  const parts: string[] = [];
  let left = Math.max(0, Math.floor(seconds));
  for (const [unit, length] of TIMES) {
    const amount = Math.floor(left / length);
    left -= amount * length;
    if (amount > 0 || (parts.length === 0 && unit === "s")) parts.push(`${amount}${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

// The dashboard's own files, as they lie beside this module, and the two of uPlot. Nothing else is served, and
// nothing of it may load, call or be framed by anything but the admin server itself.

import { readFile } from "node:fs/promises";
import type { Answer } from "./answer.ts";

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const TYPES = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
} as const;

const OWN_FILES = [
  "index.html",
  "icon.svg",
  "base.css",
  "parts.css",
  "admin-api.js",
  "backend-state.js",
  "buckets.js",
  "chart-list.js",
  "charts.js",
  "elements.js",
  "format.js",
  "history.js",
  "log.js",
  "main.js",
  "meters.js",
  "pools.js",
  "stream.js",
  "tiers.js",
  "toasts.js",
  "user-actions.js",
  "user-lookup.js",
  "users.js",
  "verdict.js",
] as const;

/** By the path that it is asked for under. */
const FILES: ReadonlyMap<string, URL> = new Map([
  ...OWN_FILES.map((name) => [pathOf(name), new URL(`dashboard/${name}`, import.meta.url)] as const),
  ["/dashboard/uplot.js", new URL(import.meta.resolve("uplot/dist/uPlot.iife.min.js"))],
  ["/dashboard/uplot.css", new URL(import.meta.resolve("uplot/dist/uPlot.min.css"))],
]);

export function isDashboardFile(path: string): boolean {
  return FILES.has(path);
}

/** Null where the path is none of them. */
export async function dashboardFile(path: string): Promise<Answer | null> {
  const file = FILES.get(path);
  if (file === undefined) return null;
  const extension = /[^.]+$/.exec(file.pathname)?.[0] as keyof typeof TYPES;
  return {
    status: 200,
    type: TYPES[extension],
    body: await readFile(file),
    headers: { "Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer" },
  };
}

function pathOf(name: string): string {
  return name === "index.html" ? "/" : `/dashboard/${name}`;
}

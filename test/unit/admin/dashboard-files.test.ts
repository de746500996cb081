// What is served of the dashboard: each of its files, and nothing else.
import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";

import { dashboardFile, isDashboardFile } from "../../../src/admin/dashboard-files.ts";

const folder = new URL("../../../src/admin/dashboard/", import.meta.url);
/** Those that no page asks for. */
const ownOfTheSources = /\.d\.ts$|^tsconfig\.json$/;
const names = readdirSync(folder).filter((name) => !ownOfTheSources.test(name));

describe("a file of the dashboard", () => {
  test.for([...names, "uplot.js", "uplot.css"])(
    "%s is served, by its type, and may load its own kind only",
    async (name) => {
      const answer = await dashboardFile(name === "index.html" ? "/" : `/dashboard/${name}`);
      const type = { html: "text/html", css: "text/css", js: "text/javascript", svg: "image/svg+xml" };
      expect(answer).toMatchObject({
        status: 200,
        type: expect.stringContaining(type[name.split(".").at(-1) as keyof typeof type]),
        headers: {
          "Content-Security-Policy": expect.stringContaining("default-src 'none'; script-src 'self'"),
        },
      });
      expect(answer?.body.length).toBeGreaterThan(0);
    },
  );

  test("is one of a list: no path leads out of its folder", async () => {
    const paths = [
      "/dashboard/",
      "/dashboard/..",
      "/dashboard/../server.ts",
      "/dashboard/tsconfig.json",
      "/index.html",
    ];
    for (const path of paths) {
      expect([path, isDashboardFile(path), await dashboardFile(path)]).toEqual([path, false, null]);
    }
  });

  test("asks for no other host, and has no script, style or handler in its markup", async () => {
    const html = String((await dashboardFile("/"))?.body);
    expect(html).not.toMatch(/https?:|style=|\son[a-z]+=|<script(?![^>]* src=)|<style/);
  });
});

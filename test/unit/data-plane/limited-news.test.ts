import { expect, test } from "vitest";

import { LimitedNews } from "../../../src/data-plane/limited-news.ts";

test("tells at once of the first, then at most once a second of all since", () => {
  const news = new LimitedNews();
  expect(news.add(3, 5_000)).toBe(3);
  expect(news.add(1, 5_001)).toBeNull();
  expect(news.add(2, 5_999)).toBeNull();
  expect(news.add(4, 6_000)).toBe(7);
  expect(news.add(1, 60_000)).toBe(1);
});

// A backend's status line that Node's parser accepts and its writer throws on: thrown out of an event
// handler, that would end the worker thread, and with it every connection there.
import { expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { upgradeRequest } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";
import { answerGarbage, startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOfEach } from "../support/start-in-front.ts";

const answers = [
  "HTTP/1.1 200 O\x01K\r\nContent-Length: 2\r\n\r\nhi",
  "HTTP/1.1 099 No\r\nContent-Length: 2\r\n\r\nhi",
  "HTTP/1.1 600 Too far\r\nContent-Length: 2\r\n\r\nhi",
  "HTTP/1.1 999 Too far\r\nContent-Length: 2\r\n\r\nhi",
];

test("is answered 502 in its place, to requests and upgrades, and harms nobody else", async () => {
  const backends = await Promise.all(answers.map((bytes) => startScriptedBackend(answerGarbage(bytes))));
  const echo = await startEchoBackend();
  const weir = await startInFrontOfEach([...backends.map(({ url }) => url), echo.url]);
  const bystander = await openBystander(`${weir.url}/${backends.length}`);
  for (const [i, bytes] of answers.entries()) {
    const request = `GET /${i} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
    for (const head of [request, upgradeRequest({ path: `/${i}` })]) {
      const { status, code } = await refusalOf(weir.url, head);
      expect.soft([bytes, status, code]).toEqual([bytes, 502, "backend_failed"]);
    }
  }
  await bystander.expectUnharmed();
});

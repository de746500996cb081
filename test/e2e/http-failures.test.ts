// Plain HTTP where something goes wrong: each request gets one whole answer, or visibly none.
import { describe, expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { untilMetric } from "../support/metrics.ts";
import { connectRaw } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { refusalOf } from "../support/refusal.ts";
import {
  answer,
  answerGarbage,
  neverAnswer,
  resetAt,
  startScriptedBackend,
  type Script,
} from "../support/scripted-backend.ts";
import { startInFrontOf, startInFrontOfEach, timeouts } from "../support/start-in-front.ts";
import { untilEqual } from "../support/until.ts";

const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

describe("a backend that fails", () => {
  test("is answered 502, logged, and harms nobody else", async () => {
    const failures: Record<string, Script> = {
      "resets at once": resetAt("connect"),
      "resets after the request": resetAt("head"),
      "answers garbage": answerGarbage(),
      "ends in the middle of its head": answerThenFinish("HTTP/1.1 200 OK\r\nContent-Le"),
      "ends without a word": answerThenFinish(""),
      "answers with a head without end": answerGarbage(`HTTP/1.1 200 OK\r\nX: ${"a".repeat(100_000)}`),
      "answers with two lengths": answerGarbage(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
      ),
      "answers with a length and chunks": answerGarbage(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      ),
    };
    const backends = await Promise.all(Object.values(failures).map((script) => startScriptedBackend(script)));
    const echo = await startEchoBackend();
    const weir = await startInFrontOfEach([...backends.map(({ url }) => url), echo.url]);
    const bystander = await openBystander(`${weir.url}/${backends.length}`);
    for (const [i, what] of Object.keys(failures).entries()) {
      const { status, code } = await refusalOf(weir.url, get.replace("/", `/${i}`));
      expect.soft([what, status, code]).toEqual([what, 502, "backend_failed"]);
      await untilMetric(weir.adminUrl, 1, "weir_http_requests_total", { pool: `case-${i}`, code: "502" });
    }
    const logged = () => weir.log.entries.filter(({ fields }) => fields["code"] === "backend_failed");
    await untilEqual("the number of failures logged", backends.length, () => logged().length);
    expect(logged().map(({ level }) => level)).toEqual(backends.map(() => "warn"));
    await bystander.expectUnharmed();
  });

  test("is answered 502 where nobody listens, and the client's socket is kept", async () => {
    const weir = await startInFrontOf("ws://127.0.0.1:1");
    const connection = await connectRaw(weir.url);
    for (let i = 0; i < 2; i++) {
      await connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      const head = await connection.readHead();
      expect([head.status, head.header("connection")]).toEqual([502, "keep-alive"]);
      await connection.readBytes(Number(head.header("content-length")));
    }
  });

  test("is answered 504 where it says nothing for timeouts.http", async () => {
    const backend = await startScriptedBackend(neverAnswer());
    const weir = await startInFrontOf(backend.url, { config: timeouts({ http: "150ms" }) });
    expect(await refusalOf(weir.url, get)).toMatchObject({ status: 504, code: "backend_timeout" });
    await (await backend.connection(0)).untilClosed();
  });

  test("is answered 504 where its TLS handshake does not end within connectTimeout", async () => {
    const backend = await startScriptedBackend(neverAnswer());
    const weir = await startInFrontOf(backend.url.replace("ws:", "wss:"), {
      pool: { connectTimeout: "100ms" },
    });
    expect(await refusalOf(weir.url, get)).toMatchObject({ status: 504, code: "backend_timeout" });
  });

  // A client that counts bytes sees a short body; one that reads to the end of the socket must not see an
  // end, but a cut.
  test.for([
    ["by length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"],
    ["by chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n"],
  ] as const)("in the middle of a body framed %s does not look whole", async ([, bytes]) => {
    for (const fail of ["finish", "reset"] as const) {
      const backend = await startScriptedBackend(async (connection) => {
        await connection.readHead();
        await connection.write(bytes);
      });
      const weir = await startInFrontOf(backend.url);
      const connection = await connectRaw(weir.url);
      await connection.write(get.replace("Connection: close\r\n", ""));
      await connection.readHead();
      await connection.readUntil("the part", (all) => (all.includes("only this") ? all.length : undefined));
      (await backend.connection(0))[fail]();
      await connection.untilClosed();
      expect(connection.buffered.toString()).not.toContain("0\r\n\r\n");
    }
  });

  test("in the middle of a pipelined answer does not look whole when its turn comes", async () => {
    const backend = await startScriptedBackend(() => {});
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    const asked = await Promise.all([backend.connection(0), backend.connection(1)]);
    const heads = await Promise.all(asked.map((each) => each.readHead()));
    const second = heads.findIndex(({ raw }) => raw.startsWith("GET /2"));
    await asked[second]?.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    asked[second]?.finish();
    await untilMetric(weir.adminUrl, 1, "weir_http_requests_total", { pool: "chat", code: "200" });
    await asked[1 - second]?.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    await connection.untilClosed();
    expect(connection.buffered.toString()).toMatch(/\r\n\r\nok$/);
  });

  test("by sending more than it announced spoils nothing for the next request", async () => {
    const smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
    const backend = await startScriptedBackend(
      answerGarbage(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok${smuggled}`),
    );
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    for (let i = 0; i < 5; i++) {
      await connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      expect((await connection.readHead()).status).toBe(200);
      expect((await connection.readBytes(2)).toString()).toBe("ok");
      expect(connection.buffered).toHaveLength(0);
    }
  });
});

describe("a client", () => {
  test("that leaves in the middle of its answer lets the backend go", async () => {
    const backend = await startScriptedBackend(async (connection) => {
      await connection.readHead();
      await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    });
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write(get);
    await connection.readHead();
    connection.reset();
    expect(await (await backend.connection(0)).untilClosed()).not.toBe("open");
  });

  test("that leaves in the middle of its body lets the backend go", async () => {
    const backend = await startScriptedBackend(() => {});
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this");
    await (await backend.connection(0)).untilReceivedBytes(1);
    connection.reset();
    expect(await (await backend.connection(0)).untilClosed()).not.toBe("open");
  });

  test("that stops in the middle of its body is cut after timeouts.http", async () => {
    const backend = await startScriptedBackend(() => {});
    const weir = await startInFrontOf(backend.url, { config: timeouts({ http: "150ms" }) });
    const connection = await connectRaw(weir.url);
    await connection.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this");
    expect(await connection.untilClosed()).not.toBe("open");
    expect(await (await backend.connection(0)).untilClosed()).not.toBe("open");
  });

  test("that stops in the middle of its body, or leaves, after a whole answer is cut all the same", async () => {
    const backend = await startScriptedBackend(answer({ status: 200, body: "ok" }));
    // The backend, too, has no longer for its answer.
    const weir = await startInFrontOf(backend.url, { config: timeouts({ http: "2s" }) });
    for (const [i, leave] of [() => {}, (connection: RawConnection) => connection.reset()].entries()) {
      const connection = await connectRaw(weir.url);
      await connection.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this");
      await connection.readHead();
      expect((await connection.readBytes(2)).toString()).toBe("ok");
      leave(connection);
      await connection.untilClosed();
      expect(await (await backend.connection(i)).untilClosed()).not.toBe("open");
    }
  });

  test("that sends the rest of its body after a whole answer keeps its socket", async () => {
    const backend = await startScriptedBackend(answer({ status: 200, body: "ok" }));
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nonly");
    expect((await connection.readHead()).status).toBe(200);
    await connection.readBytes(2);
    await connection.write(" this");
    const asked = await backend.connection(0);
    await asked.readBytes(9);
    await connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await answer({ status: 201, body: "ok" })(asked);
    expect((await connection.readHead()).status).toBe(201);
  });

  test("whose body is refused is answered at once, without waiting for it", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url, {
      config: { routes: [{ match: { path: "/there" }, pool: "chat" }] },
    });
    const refusal = await refusalOf(
      weir.url,
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly",
    );
    expect(refusal).toMatchObject({ status: 404, code: "no_route" });
    expect(refusal.head.header("connection")).toBe("close");
  });
});

/** Reads a request's head, sends these bytes and then FIN. */
function answerThenFinish(bytes: string): Script {
  return async (connection) => {
    await connection.readHead();
    if (bytes !== "") await connection.write(bytes);
    connection.finish();
  };
}

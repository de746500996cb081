import { expect, test } from "vitest";
import { ApiError, type Endpoint } from "../../../../src/admin/api/endpoint.ts";
import { Router } from "../../../../src/admin/api/router.ts";

function endpoint(method: Endpoint["method"], path: string): Endpoint {
  const names = path.split("/").filter((segment) => segment.startsWith(":"));
  return {
    method,
    path,
    answer: (_request, nameOf) => ({
      status: 200,
      body: [method, path, ...names.map((name) => nameOf(name.slice(1)))],
    }),
  };
}

const router = new Router([
  endpoint("GET", "/api/users/:user"),
  endpoint("PUT", "/api/users/:user/ban"),
  endpoint("DELETE", "/api/users/:user/ban"),
  endpoint("GET", "/api/pools"),
]);

async function ask(method: string, path: string): Promise<unknown> {
  const url = new URL(path, "http://admin");
  const signal = new AbortController().signal;
  const answer = await router.answer({ method, url, signal, body: () => Promise.resolve(undefined) });
  return answer?.body ?? null;
}

test("finds an endpoint by its path and method, and decodes the names in the path", async () => {
  expect(await ask("GET", "/api/pools?x=/y")).toEqual(["GET", "/api/pools"]);
  expect(await ask("GET", "/api/users/a%2Fb%20%22c")).toEqual(["GET", "/api/users/:user", 'a/b "c']);
  expect(await ask("DELETE", "/api/users/ip:::1/ban")).toEqual(["DELETE", "/api/users/:user/ban", "ip:::1"]);
});

test("serves HEAD where it serves GET", async () => {
  expect(await ask("HEAD", "/api/pools")).toEqual(["GET", "/api/pools"]);
});

test("knows no path that is longer, shorter or has an empty name", async () => {
  for (const path of [
    "/",
    "/api",
    "/api/pools/",
    "/api/pools/x",
    "/api/users/",
    "/api/users//ban",
    "/API/pools",
  ]) {
    expect([path, await ask("GET", path)]).toEqual([path, null]);
  }
});

test("answers 405 with the methods that the path has", async () => {
  await expect(ask("GET", "/api/users/x/ban")).rejects.toMatchObject({
    status: 405,
    code: "method_not_allowed",
    headers: { Allow: "PUT, DELETE" },
  });
  await expect(ask("POST", "/api/pools")).rejects.toMatchObject({ headers: { Allow: "GET, HEAD" } });
});

test("answers 400 where the escapes in the path are broken", async () => {
  for (const path of ["/api/users/%ff", "/api/users/%", "/api/users/%zz/ban"]) {
    await expect(ask("GET", path)).rejects.toThrow(ApiError);
    await expect(ask("GET", path)).rejects.toMatchObject({ status: 400, code: "bad_request" });
  }
});

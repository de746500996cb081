// Finds the endpoint that a request is for. It knows paths and methods, and nothing of what is behind them.

import { ApiError, type ApiAnswer, type ApiRequest, type Endpoint, type Names } from "./endpoint.ts";

interface Route {
  readonly endpoint: Endpoint;
  readonly segments: readonly string[];
}

export class Router {
  readonly #routes: readonly Route[];

  constructor(endpoints: readonly Endpoint[]) {
    this.#routes = endpoints.map((endpoint) => ({ endpoint, segments: endpoint.path.split("/") }));
  }

  /** Null where no endpoint has this path. Throws ApiError (400, 405, and what the endpoint throws). */
  async answer(request: ApiRequest): Promise<ApiAnswer | null> {
    const given = request.url.pathname.split("/").map(decoded);
    const routes = this.#routes.filter(({ segments }) => isMatch(segments, given));
    if (routes.length === 0) return null;
    const method = request.method === "HEAD" ? "GET" : request.method;
    const route = routes.find(({ endpoint }) => endpoint.method === method);
    if (route === undefined) throw methodRefused(routes);
    return await route.endpoint.answer(request, namesOf(route.segments, given));
  }
}

function isMatch(segments: readonly string[], given: readonly string[]): boolean {
  return (
    segments.length === given.length &&
    segments.every((segment, at) => (segment.startsWith(":") ? given[at] !== "" : segment === given[at]))
  );
}

function namesOf(segments: readonly string[], given: readonly string[]): Names {
  return (name) => {
    const value = given[segments.indexOf(`:${name}`)];
    if (value === undefined) throw new RangeError(`the path has no :${name}`);
    return value;
  };
}

/** RFC 9110 §15.5.6: the answer names the methods that are served. */
function methodRefused(routes: readonly Route[]): ApiError {
  const methods = routes.map(({ endpoint }) => endpoint.method);
  const allow = methods.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method])).join(", ");
  return new ApiError(405, "method_not_allowed", `only ${methods.join(", ")} is served here`, {
    Allow: allow,
  });
}

/** Throws ApiError where the escapes are broken. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new ApiError(400, "bad_request", "the path is not valid");
  }
}

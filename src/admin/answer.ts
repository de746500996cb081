// An answer of the admin server, and how it is sent.

import http from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { closeAfterAnswer } from "../close-after-answer.ts";
import { JsonText } from "./api/endpoint.ts";

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

export function json(status: number, body: unknown): Answer {
  const text = body instanceof JsonText ? body.text : JSON.stringify(body);
  return { status, type: "application/json", body: text };
}

/** What every error looks like. */
export function refusal(
  status: number,
  error: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return { ...json(status, { error, message }), headers };
}

export function send(request: http.IncomingMessage, response: http.ServerResponse, answer: Answer): void {
  const { status, type, body, headers } = answer;
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(body),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    ...headers,
    // What is left of a body that nobody reads would be taken for the next request.
    ...(request.complete ? {} : { Connection: "close" }),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

/** Answers an upgrade that is refused; its socket ends with that. */
export function sendBare(request: http.IncomingMessage, socket: Duplex, answer: Answer): void {
  const response = new http.ServerResponse(request);
  response.shouldKeepAlive = false;
  // An upgrade comes on a socket of the server's own.
  response.assignSocket(socket as Socket);
  response.on("finish", () => closeAfterAnswer(socket));
  send(request, response, answer);
}

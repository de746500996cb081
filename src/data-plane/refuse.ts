// Answers an upgrade that is not let through, and closes its socket: our own refusals, and a backend's
// answer other than 101, which passes through whole.

import http from "node:http";
import type { Socket } from "node:net";
import { closeAfterAnswer } from "../close-after-answer.ts";
import type { Refusal } from "../errors.ts";
import { answerHeaders } from "./answer-headers.ts";

const RETRY_AFTER_SECONDS = 2;

/** Status, headers and body of a refusal. */
export function refusalAnswer(refusal: Refusal): {
  status: number;
  headers: Record<string, string | string[]>;
  body: string | Buffer;
} {
  if (refusal.answer !== null) {
    const { status, headers, body } = refusal.answer;
    return { status, headers: { ...headers, "Content-Length": String(body.length) }, body };
  }
  const status = refusal.status ?? 500;
  const body = JSON.stringify({ error: refusal.code, message: refusal.message });
  const headers: Record<string, string> = {
    "Content-Type": "application/json",
    "Content-Length": String(Buffer.byteLength(body)),
  };
  if (status === 429 || status === 503) headers["Retry-After"] = String(jitteredRetryAfter());
  // RFC 9110 §15.5.2: a 401 says how to do better.
  if (refusal.challenge !== null) headers["WWW-Authenticate"] = refusal.challenge;
  // RFC 9110 §15.5.22: a 426 says what to upgrade to.
  if (status === 426) headers["Upgrade"] = "websocket";
  if (status === 426 && refusal.code === "bad_upgrade") headers["Sec-WebSocket-Version"] = "13";
  return { status, headers, body };
}

/** Answers an upgrade on its bare socket, then closes it. */
export function refuseUpgrade(request: http.IncomingMessage, socket: Socket, refusal: Refusal): void {
  if (refusal.status === null || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, headers, body } = refusalAnswer(refusal);
  const response = responseOn(request, socket);
  response.writeHead(status, { ...headers, Connection: connectionHeader(headers, "close") });
  response.end(body);
}

/** Answers bytes that never became a request. */
export function refuseBytes(socket: Socket, refusal: Refusal): void {
  const { status, headers, body } = refusalAnswer(refusal);
  const lines = Object.entries({ ...headers, Connection: "close" }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  if (socket.writable) {
    socket.write(`HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? ""}\r\n${lines.join("")}\r\n`);
    socket.write(body);
  }
  closeAfterAnswer(socket);
}

/**
 * Passes a backend's answer on, body and all, then closes both sockets. The body's end is found by
 * Node's parser, so bytes that the backend sends after it reach nobody.
 */
export function passAnswer(options: {
  readonly request: http.IncomingMessage;
  readonly socket: Socket;
  readonly answer: http.IncomingMessage;
  /** Value of a `Set-Cookie` line of our own; null for none. */
  readonly setCookie: string | null;
  /** Milliseconds without a byte from either side before both sockets are cut. */
  readonly idleTimeoutMs: number;
  /** The client has been sent all of it. */
  readonly onPassed: () => void;
}): void {
  const { request, socket, answer, setCookie, idleTimeoutMs, onPassed } = options;
  const response = responseOn(request, socket);
  const headers = answerHeaders(answer, setCookie);
  headers.push("Connection", "close");
  response.writeHead(answer.statusCode ?? 502, answer.statusMessage ?? "", headers);
  answer.pipe(response);
  response.on("finish", onPassed);
  answer.on("error", () => socket.destroy());
  answer.on("close", () => {
    // A body cut short must not look whole to the client.
    if (!answer.complete) socket.destroy();
    answer.socket.destroy();
  });
  socket.on("close", () => answer.socket.destroy());
  socket.setTimeout(idleTimeoutMs, () => socket.destroy());
}

/** The upgrade took the socket from its HTTP server; a response of its own writes the answer. */
function responseOn(request: http.IncomingMessage, socket: Socket): http.ServerResponse {
  const response = new http.ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  // A server would tell it; this socket has none any more.
  const onDrain = (): void => void response.emit("drain");
  socket.on("drain", onDrain);
  response.on("finish", () => {
    socket.off("drain", onDrain);
    response.detachSocket(socket);
    closeAfterAnswer(socket);
  });
  return response;
}

/** `Upgrade` belongs to this hop, and `Connection` must say so (RFC 9110 §7.8). */
export function connectionHeader(
  headers: Readonly<Record<string, string | string[]>>,
  persistence: "close" | "keep-alive",
): string {
  return headers["Upgrade"] === undefined ? persistence : `${persistence}, upgrade`;
}

/** Spread by half, so that clients that were refused together do not come back together. */
function jitteredRetryAfter(): number {
  return Math.max(1, Math.round(RETRY_AFTER_SECONDS * (0.5 + Math.random())));
}

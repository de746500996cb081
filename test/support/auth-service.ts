// A service for forward auth: remembers what it was asked, and answers as the test says.
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";

import { onCleanup } from "./cleanup.ts";
import { ownHost } from "./own-host.ts";

export interface AuthQuestion {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Names and values alternating, as they were sent. */
  readonly rawHeaders: readonly string[];
  readonly bodyBytes: number;
}

type Answerer = (response: ServerResponse, question: AuthQuestion, socket: Socket) => void;

export class AuthServer {
  readonly questions: AuthQuestion[] = [];
  /** Questions whose asker has gone before the answer. */
  abandoned = 0;
  /** Every connection ever accepted. */
  connections = 0;
  url = "";
  answer: Answerer;
  readonly #server = createServer((request, response) => this.#onRequest(request, response));

  constructor(answer: Answerer) {
    this.answer = answer;
    this.#server.on("connection", () => (this.connections += 1));
  }

  async listen(port = 0): Promise<void> {
    this.#server.listen(port, ownHost);
    await once(this.#server, "listening");
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    this.url = `http://${ownHost}:${address.port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    let bodyBytes = 0;
    request.on("data", (chunk: Buffer) => (bodyBytes += chunk.length));
    response.on("close", () => {
      if (!response.writableFinished) this.abandoned += 1;
    });
    request.on("end", () => {
      const { method = "", url = "", headers, rawHeaders, socket } = request;
      const question = { method, url, headers, rawHeaders, bodyBytes };
      this.questions.push(question);
      this.answer(response, question, socket);
    });
  }
}

/** Lets everyone in unless told otherwise. */
export async function startAuthServer(
  answer: Answerer = (response) => void response.writeHead(204).end(),
): Promise<AuthServer> {
  const server = new AuthServer(answer);
  await server.listen();
  onCleanup("the auth server", () => server.stop());
  return server;
}

// Why Weir ends a connection, and what each side is sent. README.md prints the same table.

import { CloseCode } from "../ws/protocol.ts";

/** What a side is sent: a Close with this code; or its socket just ends (`cut`, a FIN without a Close). */
export type Goodbye = number | "cut";

interface CloseReason {
  readonly client: Goodbye;
  /** Close reason text that the client reads. */
  readonly text: string;
  readonly backend: Goodbye;
  /** Whose end it is where Weir orders it; a side that goes by itself is told apart where that is seen. */
  readonly by: "client" | "backend" | "weir";
}

const { goingAway, protocolError, messageTooBig, policyViolation, serviceRestart, unauthorized } = CloseCode;

export const CLOSE_REASONS = {
  draining: { client: goingAway, text: "server shutting down", backend: goingAway, by: "weir" },
  backend_draining: { client: serviceRestart, text: "backend draining", backend: goingAway, by: "weir" },
  backend_lost: { client: serviceRestart, text: "backend lost", backend: "cut", by: "weir" },
  client_lost: { client: "cut", text: "", backend: "cut", by: "client" },
  client_dead: { client: "cut", text: "", backend: goingAway, by: "client" },
  slow_consumer: { client: "cut", text: "", backend: goingAway, by: "client" },
  idle: { client: goingAway, text: "idle timeout", backend: goingAway, by: "weir" },
  age: { client: serviceRestart, text: "connection age", backend: goingAway, by: "weir" },
  rate: { client: policyViolation, text: "message rate exceeded", backend: goingAway, by: "weir" },
  abuse: { client: policyViolation, text: "abuse", backend: goingAway, by: "weir" },
  control_flood: { client: policyViolation, text: "control frame flood", backend: goingAway, by: "weir" },
  admin: { client: policyViolation, text: "closed by administrator", backend: goingAway, by: "weir" },
  replaced: { client: policyViolation, text: "replaced", backend: goingAway, by: "weir" },
  token_expired: { client: unauthorized, text: "token expired", backend: goingAway, by: "weir" },
  too_big: { client: messageTooBig, text: "message too big", backend: goingAway, by: "weir" },
  protocol_error: { client: protocolError, text: "protocol error", backend: goingAway, by: "weir" },
  backend_protocol_error: {
    client: serviceRestart,
    text: "backend protocol error",
    backend: protocolError,
    by: "weir",
  },
} as const satisfies Record<string, CloseReason>;

export type CloseReasonName = keyof typeof CLOSE_REASONS;

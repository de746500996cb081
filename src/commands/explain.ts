// `weir explain`: what would become of a request, told step by step as the running Weir would take it.

import type { Explained } from "../admin/api/explain.ts";
import type { Question } from "./remote-command.ts";
import { formatByteRate, formatDuration, formatRate, formatSize } from "../config/units.ts";
import { ExitCode } from "../errors.ts";
import type { AdminClient } from "./admin-client.ts";
import { type Line, piece, type Piece, table, textOf } from "./lines.ts";
import type { Output } from "./output.ts";

interface ExplainOptions {
  readonly width: number;
  readonly isStyled: boolean;
  readonly json: boolean;
}

/** Returns the exit code: 0 as well where the request would be refused, since that is the answer. */
export async function explain(
  client: AdminClient,
  { url, headers, from }: Question,
  { width, isStyled, json }: ExplainOptions,
  { print }: Output,
): Promise<number> {
  const { body } = await client.ask("POST", "/api/explain", {
    body: { url, headers, ...(from === null ? {} : { from }) },
  });
  if (json) print(JSON.stringify(body));
  else for (const line of explanationLines(body as Explained)) print(textOf(line, width, isStyled));
  return ExitCode.ok;
}

function explanationLines(explained: Explained): Line[] {
  const { target, route, client, unasked, limits, pool } = explained;
  return [
    resultLine(explained),
    ...(target === null
      ? []
      : [labelled("request", `${kindText(explained)}, host ${target.host || "–"}, path ${target.path}`)]),
    ...(route === null ? [] : [labelled("route", routeText(route))]),
    ...(client === null ? [] : clientLines(client)),
    ...unasked.map((what) => labelled("not asked", what)),
    ...(limits === null ? [] : limitLines(limits, explained.kind)),
    ...(pool === null ? [] : poolLines(pool)),
  ];
}

function resultLine({ refusal, pool }: Explained): Line {
  if (refusal !== null) {
    const { code, status, closeCode, message } = refusal;
    const answers = [
      ...(status === null ? [] : [`status ${status}`]),
      ...(closeCode === null ? [] : [`close ${closeCode}`]),
    ];
    return [piece(`refused: ${code}`, "bad"), piece(` (${answers.join(", ")}): ${message}`)];
  }
  if (pool?.choice) return [piece("goes to ", "good"), piece(`${pool.name}/${pool.choice}`, "bold")];
  const ready = pool?.backends.some(({ obstacle }) => obstacle === null) ?? false;
  return [
    piece(ready ? `goes to ${pool?.name}, by ${pool?.balance}` : "waits for room", ready ? "good" : "warn"),
  ];
}

function kindText({ kind }: Explained): string {
  return kind === "upgrade" ? "WebSocket upgrade" : "plain HTTP request";
}

function routeText({ id, pool, auth }: NonNullable<Explained["route"]>): string {
  return `${id} to pool ${pool}${auth === "off" ? "" : `, auth ${auth}`}`;
}

function clientLines(client: NonNullable<Explained["client"]>): Line[] {
  const { peer, isPeerTrusted, address, addressFrom, isHeaderIgnored } = client;
  const peerText = peer === "" ? "a Unix socket" : peer;
  const trust = isPeerTrusted ? "in trustedProxies" : "not in trustedProxies";
  const why =
    addressFrom === "peer"
      ? `the peer's own, ${trust}${isHeaderIgnored ? ", so its forwarded address is not believed" : ""}`
      : `from ${addressFrom}, as the peer ${peerText} is ${trust}`;
  return [
    labelled("address", `${address === "" ? "none" : address} (${why})`),
    labelled(
      "user",
      `${client.user} (from ${client.userFrom}${client.isSharedAddress ? ", which many may share" : ""})`,
    ),
    labelled(
      "tier",
      `${client.tier} (${client.tierFrom === "default" ? "the default" : `from ${client.tierFrom}`})`,
    ),
  ];
}

function limitLines(limits: NonNullable<Explained["limits"]>, kind: Explained["kind"]): Line[] {
  if (kind === "request") {
    const { requests } = limits;
    return [labelled("requests", requests === null ? "no limit" : rateText(requests))];
  }
  const { connections, tier, user, messages, bytes, maxMessageBytes, controlFrames } = limits;
  const rates = messages.map((rate) => `${rateText(rate)} of the ${rate.of}`);
  const action =
    limits.onExceed === "delay" ? `delay of ${formatDuration(limits.maxDelayMs)} at most` : limits.onExceed;
  return [
    labelled(
      "connections",
      `${capText(connections)} in all, ${capText(tier)} of the tier, ${capText(user)} of the user${limits.replacesStalest ? "; its stalest would make room" : ""}`,
    ),
    labelled("messages", rates.length === 0 ? "no limit" : `${rates.join(" and ")}; above it ${action}`),
    ...(bytes === null
      ? []
      : [labelled("bytes", `${formatByteRate(bytes.ratePerSecond)}, burst ${formatSize(bytes.burst)}`)]),
    labelled(
      "frames",
      `messages ${maxMessageBytes === null ? "of any size" : `up to ${formatSize(maxMessageBytes)}`}, control frames ${controlFrames === null ? "without limit" : rateText(controlFrames)}`,
    ),
  ];
}

function capText({ open, limit }: { readonly open: number; readonly limit: number | null }): string {
  return limit === null ? `${open}` : `${open} of ${limit}`;
}

function rateText({
  ratePerSecond,
  burst,
}: {
  readonly ratePerSecond: number;
  readonly burst: number;
}): string {
  return `${formatRate(ratePerSecond)}, burst ${burst}`;
}

function poolLines(pool: NonNullable<Explained["pool"]>): Line[] {
  const { own, queue } = pool;
  const columns = [
    { title: "backend", side: "left" },
    { title: "", side: "left" },
    { title: "connections", side: "right" },
    { title: "capacity", side: "right" },
    { title: "weight", side: "right" },
  ] as const;
  const rows = pool.backends.map((backend) => [
    piece(backend.id, backend.id === pool.choice ? "bold" : null),
    fitness(backend.obstacle),
    piece(String(backend.connections)),
    piece(backend.capacity === null ? "–" : String(backend.capacity)),
    piece(String(backend.weight)),
  ]);
  return [
    labelled("pool", `${pool.name}, ${affinityText(pool)}, else ${pool.balance}`),
    ...(queue === null ? [] : [labelled("queue", `${queue.waiting} of ${queue.size} wait for room`)]),
    ...(own !== null && own !== pool.choice ? [labelled("", `its backend ${own} cannot take it`)] : []),
    ...table(columns, rows, Number.POSITIVE_INFINITY),
  ];
}

function affinityText({ affinity, noAffinity, own }: NonNullable<Explained["pool"]>): string {
  if (affinity === "none") return "no affinity";
  if (noAffinity !== null) return `affinity by ${affinity}, but not here: ${noAffinity}`;
  return `affinity by ${affinity}: ${own === null ? "none yet" : own}`;
}

function fitness(obstacle: NonNullable<Explained["pool"]>["backends"][number]["obstacle"]): Piece {
  return obstacle === null ? piece("can take it", "good") : piece(obstacle, "warn");
}

function labelled(label: string, text: string): Line {
  return [piece(label.padEnd(12), "dim"), piece(text)];
}

// The families about who is let in: users, bans, and upgrades that wait.

import type { Admission } from "../../control-plane/admission.ts";
import { labelsText, type LiveFamily, type Sample } from "../exposition.ts";

export function admissionFamilies(admission: Pick<Admission, "users" | "bans" | "waiting">): LiveFamily[] {
  return [
    {
      name: "weir_users",
      help: "Users with at least one connection.",
      type: "gauge",
      samples: () => [["", admission.users]],
    },
    {
      name: "weir_bans",
      help: "Users that are banned now.",
      type: "gauge",
      samples: () => [["", admission.bans.size]],
    },
    {
      name: "weir_queue_length",
      help: "Upgrades that wait: for their turn (`upgrades`), or for a slot of a pool (`pool:NAME`).",
      type: "gauge",
      samples: () => admission.waiting.map(({ queue, length }): Sample => [labelsText({ queue }), length]),
    },
  ];
}

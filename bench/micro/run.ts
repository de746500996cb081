// The micro benches: one file each, run one after the other.

import { frameScannerBench } from "./frame-scanner.ts";

export async function runMicroBenches(): Promise<void> {
  for (const create of [frameScannerBench]) {
    const bench = create();
    await bench.run();
    console.log(bench.name);
    console.table(bench.table());
  }
}

// The micro benches: one file each, run one after the other.

import { frameScannerBench } from "./frame-scanner.ts";
import { selectBench } from "./select.ts";

export async function runMicroBenches(): Promise<void> {
  for (const create of [frameScannerBench, selectBench]) {
    const bench = create();
    await bench.run();
    console.log(bench.name);
    console.table(bench.table());
  }
}

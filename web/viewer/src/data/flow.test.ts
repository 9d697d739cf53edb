import { Flow } from "./flow.ts";

describe("flow", () => {
  /** Bytes on their way, at most, once a line of `rate` bytes a millisecond and `trip` ms has been used for `ms`. */
  function settled(rate: number, trip: number, ms: number): { outstanding: number; throughput: number } {
    let time = 0;
    const flow = new Flow<number>(() => time);
    const flying: { key: number; left: number; visible: number; arrived: number }[] = [];
    let key = 0;
    let received = 0;
    let most = 0;
    for (; time < ms; time++) {
      while (flow.open && flying.length < 1000) {
        flow.start(key, 16384);
        flying.push({ key: key++, left: 16384, visible: time + trip, arrived: 0 });
      }
      if (time > ms / 2) most = Math.max(most, ...[flying.reduce((sum, f) => sum + f.left, 0)]);
      let budget = rate;
      for (const flight of [...flying]) {
        if (flight.visible > time) continue;
        const bytes = Math.min(budget, flight.left);
        budget -= bytes;
        flight.left -= bytes;
        flight.arrived += bytes;
        if (time > ms / 2) received += bytes;
        if (bytes > 0) flow.progress(flight.key, flight.arrived);
        if (flight.left === 0) {
          flow.end(flight.key);
          flying.splice(flying.indexOf(flight), 1);
        }
        if (budget === 0) break;
      }
    }
    return { outstanding: most, throughput: received / (ms / 2) };
  }

  it("keeps a slow line full and its queue short", () => {
    const { outstanding, throughput } = settled(625, 40, 4000);
    expect(throughput).toBeGreaterThan(0.95 * 625);
    // 25 kB fill the line.
    expect(outstanding).toBeLessThan(130_000);
  });

  it("grows until a fast and distant line is full", () => {
    expect(settled(12_500, 150, 8000).throughput).toBeGreaterThan(0.9 * 12_500);
  });

  it("lets one request go at first, whatever its length", () => {
    const flow = new Flow<string>(() => 0);
    expect(flow.open).toBe(true);
    flow.start("a", 1 << 20);
    expect(flow.open).toBe(false);
    flow.end("a");
    expect(flow.open).toBe(true);
  });
});

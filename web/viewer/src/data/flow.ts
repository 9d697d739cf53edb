/**
 * How much to have on its way. Requests share the line, so what is asked for too early delays what is more urgent; what is
 * asked for too late leaves the line idle for a round trip.
 *
 * Like a congestion window: what arrives in one and a half round trips. On a line that is full this settles at half a
 * round trip more than the line holds; on one that is not it grows by half every round trip.
 */

/** Bytes that may always be on their way. */
const LEAST = 32 << 10;
/** Round trips in the window. */
const TRIPS = 1.5;

interface Flight {
  readonly started: number;
  readonly length: number;
  arrived: number;
}

export class Flow<Key> {
  private readonly flights = new Map<Key, Flight>();
  private readonly arrivals: { time: number; bytes: number }[] = [];
  private roundTrip = Number.POSITIVE_INFINITY;

  constructor(private readonly now: () => number = () => performance.now()) {}

  start(key: Key, length: number): void {
    this.flights.set(key, { started: this.now(), length, arrived: 0 });
  }

  /** The first `arrived` bytes of an answer are there. */
  progress(key: Key, arrived: number): void {
    const flight = this.flights.get(key);
    if (!flight || arrived <= flight.arrived) return;
    const time = this.now();
    if (flight.arrived === 0) this.roundTrip = Math.min(this.roundTrip, time - flight.started);
    this.arrivals.push({ time, bytes: arrived - flight.arrived });
    flight.arrived = arrived;
  }

  end(key: Key): void {
    this.flights.delete(key);
  }

  /** Whether another request may go out. */
  get open(): boolean {
    let outstanding = 0;
    for (const { length, arrived } of this.flights.values()) outstanding += length - arrived;
    return outstanding <= this.limit();
  }

  private limit(): number {
    if (this.roundTrip === Number.POSITIVE_INFINITY) return LEAST;
    const since = this.now() - TRIPS * this.roundTrip;
    const first = this.arrivals.findIndex(({ time }) => time >= since);
    this.arrivals.splice(0, first < 0 ? this.arrivals.length : first);
    return this.arrivals.reduce((sum, { bytes }) => sum + bytes, LEAST);
  }
}

/**
 * What a decode worker does: it owns the decoders of its shards and answers with pictures, most urgent first.
 *
 * Between two pictures it returns to the event loop, so that segments, cancellations and more urgent jobs that have
 * arrived meanwhile take effect.
 */
import { Codec } from "./codec.ts";
import type { Decoder, Picture } from "./decoder.ts";
import { type CorruptData, InvalidArgument, toPlain } from "./errors.ts";
import { ShardIndex } from "./index.ts";
import { loadKernels } from "./kernels.ts";
import type { FromWorker, Start, ToWorker, Work } from "./messages.ts";
import type { Port } from "./platform.ts";

export function serve(port: Port): void {
  /** Messages that came before the kernels were ready. */
  const early: ToWorker[] = [];
  let service: Service | undefined;
  const send = (message: FromWorker, transfer: ArrayBuffer[] = []) => port.post(message, transfer);
  port.listen((received) => {
    const message = received as Start | ToWorker;
    if (message.type === "start")
      loadKernels(message.module).then(
        (kernels) => {
          service = new Service(new Codec(message.module, kernels, { cacheBytes: message.cacheBytes }), send);
          for (const waiting of early.splice(0)) service.receive(waiting);
        },
        (error) => send({ type: "failed", error: toPlain(error) }),
      );
    else if (service) service.receive(message);
    else early.push(message);
  });
}

class Service {
  private readonly decoders = new Map<number, Decoder>();
  private readonly jobs: Work[] = [];
  private readonly wake: () => void;
  private awake = false;

  constructor(
    private readonly codec: Codec,
    private readonly send: (message: FromWorker, transfer?: ArrayBuffer[]) => void,
  ) {
    // A channel's message is the fastest way back to the event loop: timers are clamped to 4 ms.
    const { port1, port2 } = new MessageChannel();
    port2.onmessage = () => this.work();
    this.wake = () => port1.postMessage(null);
  }

  receive(message: ToWorker): void {
    switch (message.type) {
      case "whole":
      case "picture":
        this.jobs.push(message);
        this.schedule();
        break;
      case "cancel": {
        const at = this.jobs.findIndex(({ job }) => job === message.job);
        if (at >= 0) this.jobs.splice(at, 1);
        break;
      }
      case "open": {
        const { shard, index, name } = message;
        const onDamage = (error: CorruptData) => this.send({ type: "damaged", shard, error: toPlain(error) });
        this.decoders.set(shard, this.codec.decoder(new ShardIndex(index), { name, onDamage }));
        break;
      }
      case "feed":
        this.decoders.get(message.shard)?.feed(message.offset, message.data, message.segments);
        break;
      case "drop":
        for (const segment of message.segments) this.decoders.get(message.shard)?.drop(segment);
        break;
      case "close":
        this.decoders.get(message.shard)?.close();
        this.decoders.delete(message.shard);
        break;
    }
  }

  private schedule(): void {
    if (this.awake) return;
    this.awake = true;
    this.wake();
  }

  private work(): void {
    this.awake = false;
    const { jobs } = this;
    let best = 0;
    for (let i = 1; i < jobs.length; i++) if (jobs[i]!.priority < jobs[best]!.priority) best = i;
    const [job] = jobs.splice(best, 1);
    if (job) this.run(job);
    if (jobs.length > 0) this.schedule();
  }

  private run(work: Work): void {
    const { job } = work;
    try {
      const picture = this.decode(work);
      this.send({ type: "done", job, picture }, [picture.data.buffer]);
    } catch (error) {
      this.send({ type: "failed", job, error: toPlain(error) });
    }
  }

  private decode(work: Work): Picture {
    if (work.type === "whole") return this.codec.decode(work.data, work.options);
    const decoder = this.decoders.get(work.shard);
    if (!decoder) throw new InvalidArgument(`shard ${work.shard}: not open`);
    return decoder.decode(work.options);
  }
}

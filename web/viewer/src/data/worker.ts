/**
 * A decode worker: owns the decoders of its shards and answers with pictures, most urgent first.
 *
 * Between two pictures it returns to the event loop, so that segments, cancellations and more urgent jobs that have
 * arrived meanwhile take effect.
 */
import {
  CodecError,
  CorruptData,
  type Kernels,
  loadKernels,
  ShardDecoder,
  ShardIndex,
  TileCache,
} from "@firstlight/codecs";
import type { FromWorker, ToWorker } from "./messages.ts";

type Job = Extract<ToWorker, { type: "decode" }>;

const scope = self as unknown as DedicatedWorkerGlobalScope;
const decoders = new Map<number, ShardDecoder>();
const jobs: Job[] = [];
let kernels: Kernels | undefined;
let cache: TileCache | undefined;
let busy = false;
/** Messages that came before the kernels were ready. */
const early: ToWorker[] = [];

// A channel's message is the fastest way back to the event loop: timers are clamped to 4 ms.
const { port1: wake, port2: woken } = new MessageChannel();
woken.onmessage = work;

scope.onmessage = ({ data: message }: MessageEvent<ToWorker>) => {
  if (message.type === "start") {
    loadKernels(message.kernels).then(
      (loaded) => {
        kernels = loaded;
        cache = new TileCache(loaded, message.cacheBytes);
        for (const waiting of early.splice(0)) receive(waiting, loaded, cache);
      },
      (error) => send({ type: "failed", shard: -1, kind: "unsupported", message: String(error) }),
    );
  } else if (kernels && cache) receive(message, kernels, cache);
  else early.push(message);
};

function receive(message: ToWorker, kernels: Kernels, cache: TileCache): void {
  switch (message.type) {
    case "open":
      decoders.set(message.shard, new ShardDecoder(kernels, new ShardIndex(message.index), cache, message.name));
      break;
    case "add": {
      const decoder = decoders.get(message.shard);
      if (!decoder) break;
      const { offsets } = decoder.index;
      for (const segment of message.segments) {
        const from = offsets[segment]! - message.offset;
        const to = offsets[segment + 1]! - message.offset;
        decoder.add(segment, new Uint8Array(message.data, from, to - from));
      }
      break;
    }
    case "decode":
      jobs.push(message);
      schedule();
      break;
    case "cancel": {
      const at = jobs.findIndex((job) => job.job === message.job);
      if (at >= 0) jobs.splice(at, 1);
      break;
    }
    case "drop":
      for (const segment of message.segments) decoders.get(message.shard)?.drop(segment);
      break;
    case "close":
      decoders.get(message.shard)?.close();
      decoders.delete(message.shard);
      break;
  }
}

function schedule(): void {
  if (busy) return;
  busy = true;
  wake.postMessage(null);
}

function work(): void {
  busy = false;
  let best = 0;
  for (let i = 1; i < jobs.length; i++) if (jobs[i]!.priority < jobs[best]!.priority) best = i;
  const [job] = jobs.splice(best, 1);
  if (!job) return;
  run(job);
  if (jobs.length > 0) schedule();
}

function run(job: Job): void {
  const decoder = decoders.get(job.shard);
  const answer = decoder ? decode(decoder, job) : failure(job, "closed", "the shard is closed");
  send(answer, answer.type === "decoded" ? [answer.data] : []);
}

function decode(decoder: ShardDecoder, job: Job): FromWorker {
  for (;;) {
    try {
      const samples = decoder.decode(job.level, job.region, job.components);
      return { type: "decoded", job: job.job, data: samples.buffer as ArrayBuffer, dtype: decoder.index.dtype };
    } catch (error) {
      const kind = error instanceof CodecError ? error.name : "Error";
      const message = error instanceof Error ? error.message : String(error);
      const segment = error instanceof CorruptData ? error.segment : undefined;
      if (segment === undefined) return failure(job, kind, message);
      // Without the wrong bytes the rest still gives a picture.
      decoder.drop(segment);
      send({ type: "failed", shard: job.shard, kind, message, segment });
    }
  }
}

function failure(job: Job, kind: string, message: string): FromWorker {
  return { type: "failed", job: job.job, shard: job.shard, kind, message };
}

function send(message: FromWorker, transfer: Transferable[] = []): void {
  scope.postMessage(message, transfer);
}

/** What can be wrong with bytes or arguments: the same four kinds as in Python and in the kernels (fl_status). */
export class CodecError extends Error {
  override name = "CodecError";
}

/** The bytes are a prefix of something that may be valid: more of them would help. */
export class InsufficientData extends CodecError {
  override name = "InsufficientData";
}

/** No valid stream has these bytes: a checksum or a field is wrong. */
export class CorruptData extends CodecError {
  override name = "CorruptData";

  /** @param segment the number of the segment at fault, when it is one. */
  constructor(
    message: string,
    readonly segment?: number,
  ) {
    super(message);
  }
}

/** The caller's arguments contradict each other or the head. */
export class InvalidArgument extends CodecError {
  override name = "InvalidArgument";
}

/** A later format version, or a codec that this build does not have. */
export class UnsupportedFormat extends CodecError {
  override name = "UnsupportedFormat";
}

const KINDS = [undefined, InsufficientData, CorruptData, InvalidArgument, UnsupportedFormat, InvalidArgument];

/** Throw the error that a kernel's status stands for; `what` names the object and what was expected of it. */
export function check(status: number, what: () => string): void {
  if (status === 0) return;
  const Kind = KINDS[status] ?? CodecError;
  throw new Kind(what());
}

/** An error as it travels between threads: a clone would lose its class. */
export interface PlainError {
  name: string;
  message: string;
  segment?: number;
}

export function toPlain(error: unknown): PlainError {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { name, message } = error;
  return error instanceof CorruptData && error.segment !== undefined
    ? { name, message, segment: error.segment }
    : { name, message };
}

export function fromPlain({ name, message, segment }: PlainError): Error {
  if (name === "CorruptData") return new CorruptData(message, segment);
  const Kind = [InsufficientData, InvalidArgument, UnsupportedFormat].find((kind) => kind.name === name);
  // Whatever else fails in a worker (memory that the engine refuses, say) keeps its name.
  return Kind ? new Kind(message) : Object.assign(new CodecError(message), { name });
}

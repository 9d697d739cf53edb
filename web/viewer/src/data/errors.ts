/** What can go wrong on the way to a picture, in words for a person. */

export type FailureKind =
  | "missing" // the server says that there is no such image
  | "forbidden" // it says that we may not see it
  | "network" // no answer, or the browser withholds it (CORS)
  | "server" // an answer that is no use: 5xx after retries, ranges ignored, a wrong length
  | "changed" // the object was replaced while we read it
  | "corrupt" // checksums or fields are wrong
  | "unsupported" // not an image that this viewer reads
  | "webgl"; // the browser can not draw it

export class ViewerError extends Error {
  override name = "ViewerError";

  /** @param url the object at fault, if it is one. */
  constructor(
    readonly kind: FailureKind,
    message: string,
    readonly url = "",
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Any thrown value as an Error. */
export function asError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value));
}

export function isAbort(value: unknown): boolean {
  return value instanceof DOMException && value.name === "AbortError";
}

/** What can go wrong when the API is asked, as one exception that the pages know how to show. */

/** A field of the request that the server refused. */
export interface FieldViolation {
  field: string;
  description: string;
}

interface StatusDetail {
  "@type"?: string;
  reason?: string;
  fieldViolations?: { field?: string; description?: string }[];
}

/** `google.rpc.Status` as JSON. */
export interface Status {
  code?: number;
  message?: string;
  details?: StatusDetail[];
}

/** gRPC codes that the pages treat differently from the rest. */
export const Code = {
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  ABORTED: 10,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    message: string,
    /** gRPC code; `undefined` when no server answered at all. */
    readonly code: number | undefined,
    readonly reason = "",
    readonly violations: readonly FieldViolation[] = [],
  ) {
    super(message);
  }

  /** True when nobody answered: the server is stopped or the network is gone. */
  get unreachable(): boolean {
    return this.code === undefined;
  }

  /** True when the same call may succeed later without a change. */
  get passing(): boolean {
    return this.unreachable || this.code === Code.UNAVAILABLE;
  }
}

/** Turns a status of the server into the exception; violations are what BadRequest details hold. */
export function fromStatus(status: Status): ApiError {
  const details = status.details ?? [];
  const violations = details
    .flatMap((detail) => detail.fieldViolations ?? [])
    .map((violation) => ({ field: violation.field ?? "", description: violation.description ?? "" }));
  const reason = details.find((detail) => detail.reason)?.reason ?? "";
  return new ApiError(status.message ?? "The server gave no reason.", status.code ?? 2, reason, violations);
}

/** Any thrown value as a sentence for people. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

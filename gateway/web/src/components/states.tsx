/** What stands where data is not: on its way, none, or refused. */
import { Button, Skeleton } from "@mantine/core";
import type { ReactNode } from "react";
import { ApiError, messageOf } from "../api/errors";
import { Icon } from "./icons";
import css from "./states.module.css";

export function Loading({ what, lines = 4 }: { what: string; lines?: number }) {
  return (
    <div className={css.loading} role="status" aria-label={`Loading ${what}`}>
      {Array.from({ length: lines }, (_, line) => (
        <Skeleton key={line} height={14} width={`${[92, 78, 85, 60][line % 4] ?? 80}%`} />
      ))}
    </div>
  );
}

/** Nothing there yet; the children say what to click or type next. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className={css.empty}>
      <h2>{title}</h2>
      {children !== undefined && <div className={css.emptyText}>{children}</div>}
    </div>
  );
}

/** The server's own words, every field that it refused, and another try where that can help. */
export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  const violations = error instanceof ApiError ? error.violations : [];
  const reason = error instanceof ApiError ? error.reason : "";
  return (
    <div className={css.failure} role="alert">
      <Icon name="alert" />
      <div className={css.failureText}>
        <p>{messageOf(error)}</p>
        {violations.length > 0 && (
          <ul>
            {violations.map(({ field, description }) => (
              <li key={`${field} ${description}`}>
                {field && <code>{field}</code>} {description}
              </li>
            ))}
          </ul>
        )}
        {reason && <p className="muted">Reason: {reason}</p>}
      </div>
      {retry && (
        <Button size="xs" variant="default" onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  );
}

/** What a value may be, in one line. */
import { limitsOf, type Schema } from "../../lib/openapi";
import css from "./docs.module.css";

export function Limits({ schema }: { schema: Schema }) {
  const limits = limitsOf(schema);
  if (limits.length === 0) return null;
  return <p className={css.limits}>{limits.join(" · ")}</p>;
}

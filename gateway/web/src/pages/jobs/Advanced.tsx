/** What most jobs leave to the service, folded; it opens by itself where something in it is wrong. */
import { useState, type ReactNode } from "react";
import { FIELDS, SECTIONS } from "../../lib/jobFields";
import { applies } from "../../lib/jobForm";
import { Rows, type FieldsProps } from "./Field";
import css from "./jobs.module.css";

/** The children are what a job goes on from. */
export function Advanced({ children, ...fields }: FieldsProps & { children: ReactNode }) {
  const [opened, setOpened] = useState(false);
  const folded = FIELDS.filter((row) => SECTIONS.some(({ key }) => key === row.section));
  const typed = folded.filter((row) => fields.values.fields[row.path] && applies(row, fields.values)).length;
  return (
    <details
      className={css.more}
      open={opened || folded.some((row) => fields.problems.has(row.path))}
      onToggle={(event) => setOpened(event.currentTarget.open)}
    >
      <summary>Advanced{typed > 0 && ` · ${typed} set`}</summary>
      {SECTIONS.map(({ key, label }) => (
        <fieldset key={key} className={css.section}>
          <legend>{label}</legend>
          {key === "going" ? (
            children
          ) : (
            <div className={css.numbers}>
              <Rows of={({ section }) => section === key} {...fields} />
            </div>
          )}
        </fieldset>
      ))}
    </details>
  );
}

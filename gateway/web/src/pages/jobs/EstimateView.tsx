/** What the job would need: its size, and for each kind of accelerator whether it fits, how long and what for. */
import type { Estimate, Fit } from "../../api/types";
import { Facts, Panel } from "../../components/Page";
import { Table, type Column } from "../../components/Table";
import { bytes, count, duration, durationSeconds, int, measure } from "../../lib/format";
import css from "./jobs.module.css";

const COLUMNS: readonly Column<Fit>[] = [
  { name: "Accelerator", cell: (fit) => fit.accelerator },
  {
    name: "Fits",
    cell: (fit) => (
      <>
        <span className={fit.fits === false ? css.bad : undefined}>{verdict(fit)}</span>
        {fit.changes?.map(({ field, value }) => (
          <small key={field} className={css.refused}>
            with <code>{`${field ?? ""}: ${value ?? ""}`}</code>
          </small>
        ))}
      </>
    ),
  },
  { name: "Needs", cell: (fit) => bytes(fit.neededBytes), number: true },
  {
    name: "Time",
    cell: (fit) => (fit.duration === undefined ? "–" : duration(durationSeconds(fit.duration) ?? 0)),
    number: true,
  },
  { name: "Cost", cell: (fit) => measure(fit.cost), number: true },
];

function verdict({ fits }: Fit): string {
  if (fits === undefined) return "unknown";
  return fits ? "yes" : "no";
}

export function EstimateView({ estimate }: { estimate: Estimate }) {
  const { unknownReason, tokens, memory, fits = [] } = estimate;
  if (unknownReason) {
    return (
      <Panel title="What it needs">
        <p className="muted">{unknownReason}</p>
      </Panel>
    );
  }
  return (
    <Panel title="What it needs">
      <div className="stack">
        <Facts
          rows={[
            ["Memory", int(memory?.peakBytes) > 0 ? `about ${bytes(memory?.peakBytes)}` : undefined],
            ["Parameters", count(estimate.totalParameters)],
            ["that change", count(estimate.trainableParameters)],
            [
              "Tokens an example",
              tokens && `${count(tokens.median)} in the middle, ${count(tokens.max)} at most`,
            ],
            [
              "Time of the steps",
              estimate.duration && `${duration(durationSeconds(estimate.duration) ?? 0)}, by an earlier job`,
            ],
          ]}
        />
        {fits.length > 0 && (
          <div className={css.scrolls} tabIndex={0} role="group" aria-label="Estimate by accelerator">
            <Table
              label="Estimate by accelerator"
              columns={COLUMNS}
              rows={fits}
              rowKey={(fit) => fit.accelerator ?? ""}
            />
          </div>
        )}
      </div>
    </Panel>
  );
}

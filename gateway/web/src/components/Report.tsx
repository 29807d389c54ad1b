/** A validation report: every rule that was broken, where, and what to do about it. */
import type { Problem, RuleSummary, ValidationReport } from "../api/types";
import { count, int } from "../lib/format";
import { Figures, Panel } from "./Page";
import css from "./Report.module.css";

export function Report({ report }: { report: ValidationReport }) {
  const rules = report.rules ?? [];
  return (
    <>
      <Panel title={`Report on ${report.filename ?? "the archive"}`}>
        <Figures rows={figures(report)} />
        {report.formatReason && <p className={css.format}>{report.formatReason}</p>}
        {rules.length === 0 && <p className={css.clean}>Nothing to complain about.</p>}
      </Panel>
      {rules.map((rule) => (
        <Rule key={`${rule.severity ?? ""} ${rule.rule ?? ""}`} rule={rule} />
      ))}
    </>
  );
}

function figures(report: ValidationReport) {
  return [
    ["Records", count(report.recordCount)],
    ["Examples", count(report.exampleCount)],
    ["Left out", count(report.skippedCount)],
    ["Errors", count(report.errorCount)],
    ["Warnings", count(report.warningCount)],
  ] as const;
}

function Rule({ rule }: { rule: RuleSummary }) {
  const problems = rule.problems ?? [];
  const isError = rule.severity === "SEVERITY_ERROR";
  const hidden = int(rule.count) - problems.length;
  return (
    <Panel
      flush
      title={rule.rule ?? ""}
      aside={
        <span className={isError ? css.error : css.warning}>
          {isError ? "Error" : "Warning"} × {count(rule.count)}
        </span>
      }
    >
      <ul className={css.problems}>
        {problems.map((problem) => (
          <li key={problem.text}>
            <code className={css.place}>{placeOf(problem)}</code>
            <div className={css.what}>
              {problem.message} {problem.value && <code className={css.value}>{problem.value}</code>}
            </div>
            {problem.remedy && <div className="muted">{problem.remedy}</div>}
          </li>
        ))}
        {hidden > 0 && <li className="muted">and {count(hidden)} more of the same kind</li>}
      </ul>
    </Panel>
  );
}

/** `train.jsonl:42 › $.image` */
function placeOf({ archive, member, line, jsonPath }: Problem): string {
  const file = member ? `${member}${int(line) > 0 ? `:${line ?? ""}` : ""}` : (archive ?? "");
  return jsonPath ? `${file} › ${jsonPath}` : file;
}

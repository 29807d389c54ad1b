/** A validation report: every rule that was broken, where, and what to do about it. */
import { Button } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { problemsOf } from "../api/datasets";
import type { Problem, RuleSummary, ValidationReport } from "../api/types";
import { count, int } from "../lib/format";
import { lastOf } from "../lib/names";
import { saveAs } from "../lib/save";
import { Icon } from "./icons";
import { Figures, Panel } from "./Page";
import { Failure } from "./states";
import css from "./Report.module.css";

export function Report({ report }: { report: ValidationReport }) {
  const rules = report.rules ?? [];
  return (
    <>
      <Panel
        title={`Report on ${report.filename ?? "the archive"}`}
        aside={report.inProgress ? <span role="status">grows while the import runs</span> : aside(report)}
      >
        <Figures rows={figures(report)} />
        {report.formatReason && <p className={css.format}>{report.formatReason}</p>}
        {rules.length === 0 && !report.inProgress && <p className={css.clean}>Nothing to complain about.</p>}
      </Panel>
      {rules.map((rule) => (
        <Rule key={`${rule.severity ?? ""} ${rule.rule ?? ""}`} rule={rule} />
      ))}
    </>
  );
}

function aside(report: ValidationReport) {
  const found = int(report.errorCount) + int(report.warningCount);
  return found > 0 && <DownloadButton report={report} />;
}

/** All problems as JSON, one a line: the report itself has the first of each rule only. */
function DownloadButton({ report }: { report: ValidationReport }) {
  const download = useMutation({
    mutationFn: async () => {
      const lines: string[] = [];
      for await (const problems of problemsOf(report.name ?? ""))
        lines.push(...problems.map((problem) => `${JSON.stringify(problem)}\n`));
      return new Blob(lines, { type: "application/jsonl" });
    },
    onSuccess: (blob) => saveAs(blob, `${lastOf(report.name)}.jsonl`),
  });
  if (download.isError) return <Failure error={download.error} retry={() => download.mutate()} />;
  return (
    <Button
      size="compact-xs"
      variant="default"
      loading={download.isPending}
      onClick={() => download.mutate()}
      leftSection={<Icon name="download" size={13} />}
    >
      Download all as JSONL
    </Button>
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

/** The numbers of a version, and their distributions. */
import { useQuery } from "@tanstack/react-query";
import { statisticsQuery } from "../../api/datasets";
import type { Distribution, Statistics } from "../../api/types";
import { CountBars, Histogram } from "../../components/Histogram";
import { Columns, Figures, Panel } from "../../components/Page";
import { Failure, Loading } from "../../components/states";
import { bytes, count, int } from "../../lib/format";
import { EVERYTHING, paramsOf, quoted } from "../../lib/view";
import css from "./version.module.css";

const HISTOGRAMS: readonly (readonly [string, (statistics: Statistics) => Distribution | undefined])[] = [
  ["Image width, px", (statistics) => statistics.widthPx],
  ["Image height, px", (statistics) => statistics.heightPx],
  ["Characters of text an example", (statistics) => statistics.textLength],
  ["Messages an example", (statistics) => statistics.messagesPerExample],
  ["Images an example", (statistics) => statistics.imagesPerExample],
  ["Tokens of text an example, about", (statistics) => statistics.tokenCount],
  ["Width divided by height", (statistics) => statistics.aspectRatio],
  ["Bytes an image", (statistics) => statistics.sizeBytes],
  ["Brightness, 0 black to 255 white", (statistics) => statistics.brightness],
];

export function StatisticsView({ version }: { version: string }) {
  const query = useQuery(statisticsQuery(version));
  if (query.isPending) return <Loading what="statistics" lines={8} />;
  if (query.isError) return <Failure error={query.error} retry={() => void query.refetch()} />;
  const statistics = query.data;
  const answers = (statistics.topAnswers ?? []).map(({ label, count }) => [label ?? "", int(count)] as const);
  return (
    <div className="stack">
      <Panel>
        <Figures
          rows={[
            ["Examples", count(statistics.exampleCount)],
            ["Distinct images", count(statistics.imageCount)],
            ["Bytes of images", bytes(statistics.imageBytes)],
            ["Distinct answers", count(statistics.distinctAnswerCount)],
            ["Duplicate examples", count(statistics.duplicateExampleCount)],
          ]}
        />
      </Panel>
      <Columns>
        <Panel title="Most frequent answers">
          <CountBars
            label="Most frequent answers"
            rows={answers}
            linkOf={(answer) =>
              `?${paramsOf({ ...EVERYTHING, filter: `answer = ${quoted(answer)}` }).toString()}`
            }
          />
        </Panel>
        <div className="stack">
          <Panel title="Splits">
            <CountBars label="Splits" rows={entries(statistics.splitCounts)} />
          </Panel>
          <Panel title="Image formats">
            <CountBars label="Image formats" rows={entries(statistics.formatCounts)} />
          </Panel>
        </div>
      </Columns>
      <Panel title="Distributions">
        <div className={css.histograms}>
          {HISTOGRAMS.filter(([, of]) => int(of(statistics)?.count) > 0).map(([title, of]) => (
            <Histogram key={title} title={title} of={of(statistics)} />
          ))}
        </div>
      </Panel>
    </div>
  );
}

function entries(counts: Record<string, string> | undefined): (readonly [string, number])[] {
  return Object.entries(counts ?? {}).map(([name, value]) => [name, int(value)] as const);
}

/** The worker's log. It follows the newest line until the reader scrolls up, and shows only lines that hold a text. */
import { Button, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useLayoutEffect, useRef, useState } from "react";
import { allLogLines } from "../../api/jobs";
import type { LogLine } from "../../api/types";
import { Icon } from "../../components/icons";
import { Panel } from "../../components/Page";
import { Empty, Failure } from "../../components/states";
import { clock, count, counted } from "../../lib/format";
import { textOf } from "../../lib/history";
import { lastOf } from "../../lib/names";
import { saveAs } from "../../lib/save";
import css from "./job.module.css";

const NEAR_END_PX = 40;

export function Logs({ job, lines }: { job: string; lines: readonly LogLine[] }) {
  const download = useMutation({
    mutationFn: () => allLogLines(job),
    onSuccess: (whole) =>
      saveAs(new Blob([textOf(whole)], { type: "text/plain;charset=utf-8" }), `${lastOf(job)}.log`),
  });
  const [text, setText] = useState("");
  const wanted = text.trim().toLowerCase();
  const shown = lines.filter((line) =>
    `${line.level ?? ""} ${line.message ?? ""}`.toLowerCase().includes(wanted),
  );
  const box = useRef<HTMLDivElement>(null);
  const [following, setFollowing] = useState(true);
  useLayoutEffect(() => {
    if (following && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [shown.length, following]);
  if (lines.length === 0) return <Empty title="The worker has logged nothing yet" />;
  return (
    <Panel
      flush
      title={
        wanted ? `${count(shown.length)} of ${counted(lines.length, "line")}` : counted(lines.length, "line")
      }
      aside={
        <>
          <TextInput
            size="xs"
            type="search"
            aria-label="Search the log"
            placeholder="Search"
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
          />
          <Button
            size="compact-xs"
            variant="subtle"
            leftSection={<Icon name="download" size={12} />}
            loading={download.isPending}
            onClick={() => download.mutate()}
          >
            Download all
          </Button>
          <span className="muted">{following ? "following" : "scroll to the end to follow"}</span>
        </>
      }
    >
      {download.isError && <Failure error={download.error} />}
      <div
        ref={box}
        className={css.log}
        role="log"
        aria-label="Log of the worker"
        tabIndex={0}
        onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) =>
          setFollowing(scrollHeight - scrollTop - clientHeight < NEAR_END_PX)
        }
      >
        {shown.map((line) => (
          <div key={line.sequence} className={css.logLine} data-level={line.level}>
            <span className="muted">{clock(line.time)}</span>
            <span className="muted">{line.level}</span>
            <span>{line.message}</span>
          </div>
        ))}
      </div>
    </Panel>
  );
}

/** One job: where it stands, how it learns, what it says, what came out. */
import { Tabs } from "@mantine/core";
import { useParams, useSearchParams } from "react-router";
import type { TrainingJob } from "../../api/types";
import { JobBadge } from "../../components/JobBadge";
import { Page } from "../../components/Page";
import { Failure, Loading } from "../../components/states";
import { lastOf } from "../../lib/names";
import { useProject } from "../../session/project";
import { Events } from "./Events";
import { Files } from "./Files";
import { JobActions } from "./JobActions";
import { Logs } from "./Logs";
import { Overview } from "./Overview";
import { Samples } from "./Samples";
import { Standing } from "./Standing";
import { useJobWatch, type Watch } from "./useJobWatch";

export function Component() {
  const { job = "" } = useParams();
  const name = `${useProject()}/trainingJobs/${job}`;
  return <Watched key={name} name={name} />;
}

function Watched({ name }: { name: string }) {
  const watch = useJobWatch(name);
  const { job } = watch.history;
  return (
    <Page
      title={job?.displayName || lastOf(name)}
      trail={[{ to: "/jobs", label: "Jobs" }]}
      aside={<JobBadge state={job?.state} />}
      actions={job && <JobActions job={job} />}
    >
      {watch.error && <Failure error={watch.error} retry={() => window.location.reload()} />}
      {!job && !watch.error && <Loading what="the job" lines={8} />}
      {job && <Content job={job} watch={watch} />}
    </Page>
  );
}

const TABS = [
  { value: "curves", label: "Curves" },
  { value: "samples", label: "Samples" },
  { value: "events", label: "Events" },
  { value: "logs", label: "Logs" },
  { value: "files", label: "Files" },
] as const;

function Content({ job, watch }: { job: TrainingJob; watch: Watch }) {
  const [params, setParams] = useSearchParams();
  const tab = params.get("tab") ?? "curves";
  const { history, connected } = watch;
  return (
    <>
      <Standing job={job} connected={connected} />
      <Tabs value={tab} onChange={(value) => setParams(value && value !== "curves" ? { tab: value } : {})}>
        <Tabs.List mb="md">
          {TABS.map(({ value, label }) => (
            <Tabs.Tab key={value} value={value}>
              {label}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value={tab}>
          {tab === "curves" && <Overview job={job} points={history.points} />}
          {tab === "samples" && <Samples job={job} />}
          {tab === "events" && <Events events={history.events} />}
          {tab === "logs" && <Logs job={job} lines={history.logLines} />}
          {tab === "files" && <Files job={job} />}
        </Tabs.Panel>
      </Tabs>
    </>
  );
}

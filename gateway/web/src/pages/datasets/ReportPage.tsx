/** The report of one import, also of one that made no version. */
import { useQuery } from "@tanstack/react-query";
import { useParams } from "react-router";
import { reportQuery } from "../../api/datasets";
import { Page } from "../../components/Page";
import { Report } from "../../components/Report";
import { Failure, Loading } from "../../components/states";
import { pages } from "../../lib/names";
import { useProject } from "../../session/project";

export function Component() {
  const { dataset = "", report = "" } = useParams();
  const datasetName = `${useProject()}/datasets/${dataset}`;
  const query = useQuery(reportQuery(`${datasetName}/validationReports/${report}`));
  return (
    <Page
      title="Validation report"
      trail={[
        { to: "/datasets", label: "Datasets" },
        { to: pages.dataset(datasetName), label: dataset },
      ]}
    >
      {query.isPending && <Loading what="the report" />}
      {query.isError && <Failure error={query.error} retry={() => void query.refetch()} />}
      {query.data && <Report report={query.data} />}
    </Page>
  );
}

/** One registered model: what it is, how good, where it comes from, its files, and how to use them. */
import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "react-router";
import { deleteModel, modelFilesQuery, modelQuery, textQuery } from "../../api/models";
import type { Model } from "../../api/types";
import { BeforeAfter } from "../../components/BeforeAfter";
import { CodeBlock } from "../../components/CodeBlock";
import { Confirm } from "../../components/Confirm";
import { Copyable } from "../../components/Copyable";
import { FileTable } from "../../components/FileTable";
import { Columns, Facts, Page, Panel } from "../../components/Page";
import { Failure, Loading } from "../../components/states";
import { bytes, count, int, moment } from "../../lib/format";
import { baseModelLabel, codeOf } from "../../lib/models";
import { lastOf, pages } from "../../lib/names";
import { useProject } from "../../session/project";
import { Lineage } from "./Lineage";

export function Component() {
  const { model: id = "" } = useParams();
  const query = useQuery(modelQuery(`${useProject()}/models/${id}`));
  const model = query.data;
  return (
    <Page
      title={model?.displayName || id}
      trail={[{ to: "/models", label: "Models" }]}
      actions={model && <Actions model={model} />}
    >
      {query.isPending && <Loading what="the model" lines={8} />}
      {query.isError && <Failure error={query.error} retry={() => void query.refetch()} />}
      {model && <Content model={model} />}
    </Page>
  );
}

function Actions({ model }: { model: Model }) {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const remove = useMutation({
    mutationFn: () => deleteModel(model),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ["models"] });
      await navigate("/models");
    },
  });
  const name = model.name ?? "";
  return (
    <>
      <Confirm
        label="Delete"
        title={`Delete ${lastOf(name)}?`}
        text="Later jobs can no longer start from it. The job that made it keeps its result while it is there."
        action={remove}
      />
      <Button component={Link} to={pages.trainOn(`model:${name}`)} size="xs">
        Train on top
      </Button>
    </>
  );
}

function Content({ model }: { model: Model }) {
  const newest = model.lineage?.[0];
  return (
    <>
      {model.description && <p>{model.description}</p>}
      <Columns>
        <Panel title="What it is">
          <Facts
            rows={[
              ["Family", model.family],
              ["Weights", model.isAdapter ? `adapter on ${baseModelLabel(model.baseModel)}` : "whole"],
              ["Parameters", int(model.parameterCount) > 0 ? count(model.parameterCount) : undefined],
              ["Size", int(model.sizeBytes) > 0 ? bytes(model.sizeBytes) : undefined],
              ["Registered", moment(model.createTime)],
              ["Name", <Copyable key="name" value={model.name ?? ""} />],
            ]}
          />
        </Panel>
        <BeforeAfter before={newest?.metricsBefore} after={newest?.metricsAfter} />
      </Columns>
      <Lineage generations={model.lineage ?? []} />
      <Files model={model} />
    </>
  );
}

function Files({ model }: { model: Model }) {
  const name = model.name ?? "";
  const files = useQuery(modelFilesQuery(name));
  const card = useQuery(textQuery(files.data?.find(({ path }) => path === "README.md")));
  const code = codeOf(card.data ?? "");
  const command = `visiontune models download ${lastOf(name)} --to ${lastOf(name)}`;
  if (files.isPending) return <Loading what="files" />;
  if (files.isError) return <Failure error={files.error} retry={() => void files.refetch()} />;
  return (
    <>
      <Panel title="How to use it">
        <div className="stack">
          <CodeBlock label="Fetch all files into a folder" text={command} />
          {card.isLoading && <Loading what="the model card" />}
          {card.isError && <Failure error={card.error} retry={() => void card.refetch()} />}
          {code && <CodeBlock label="Load it, in that folder" text={code} />}
        </div>
      </Panel>
      <Panel title="Files" aside={<span className="muted">{bytes(model.sizeBytes)}</span>} flush>
        <FileTable label="Files of the model" files={files.data} />
      </Panel>
    </>
  );
}

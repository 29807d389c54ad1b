/** What can be done to a job in its state. */
import { Button, Checkbox, Modal, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type SyntheticEvent } from "react";
import { Link, useNavigate } from "react-router";
import { cancelJob, deleteJob, pauseJob, resumeJob } from "../../api/jobs";
import { registerModel } from "../../api/models";
import type { TrainingJob } from "../../api/types";
import { Confirm } from "../../components/Confirm";
import { hasEnded } from "../../lib/states";
import { Failure } from "../../components/states";
import { ID_PATTERN } from "../../lib/ids";
import { lastOf, pages } from "../../lib/names";
import { useProject } from "../../session/project";

export function JobActions({ job }: { job: TrainingJob }) {
  const name = job.name ?? "";
  const copy = (
    <Button component={Link} to={pages.copyOf(name)} size="xs" variant="default">
      Copy
    </Button>
  );
  if (!hasEnded(job.state)) {
    return (
      <>
        {copy}
        {!job.cancelRequested && <PauseOrResume job={job} />}
        <Cancel name={name} asked={job.cancelRequested ?? false} />
      </>
    );
  }
  return (
    <>
      {copy}
      {job.state === "STATE_SUCCEEDED" && (
        <Button component={Link} to={pages.goOnFrom(name)} size="xs" variant="default">
          Go on
        </Button>
      )}
      <Delete name={name} />
      {job.state === "STATE_SUCCEEDED" && <Register job={job} />}
    </>
  );
}

/** A job that waits or runs can be paused; one that is paused, or about to be, can go on. */
function PauseOrResume({ job }: { job: TrainingJob }) {
  const name = job.name ?? "";
  const halts = job.state === "STATE_PAUSED" || (job.pauseRequested ?? false);
  const act = useMutation({ mutationFn: () => (halts ? resumeJob(name) : pauseJob(name)) });
  return (
    <>
      <Button size="xs" variant="default" loading={act.isPending} onClick={() => act.mutate()}>
        {halts ? "Resume" : "Pause"}
      </Button>
      {act.isError && <Failure error={act.error} />}
    </>
  );
}

function Cancel({ name, asked }: { name: string; asked: boolean }) {
  const cancel = useMutation({ mutationFn: () => cancelJob(name) });
  if (asked) {
    return (
      <Button size="xs" variant="default" disabled>
        Cancelling…
      </Button>
    );
  }
  return (
    <Confirm
      label="Cancel job"
      title="Cancel this job?"
      text="The worker stops at its next step. What it has learned is lost; a job that is paused instead can go on."
      refuse="Let it run"
      action={cancel}
    />
  );
}

function Delete({ name }: { name: string }) {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const remove = useMutation({
    mutationFn: () => deleteJob(name),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ["jobs"] });
      await navigate("/jobs");
    },
  });
  return (
    <Confirm
      label="Delete"
      title={`Delete ${lastOf(name)}?`}
      text="Its record, checkpoints and files are deleted. A registered model keeps its files."
      action={remove}
    />
  );
}

function Register({ job: { name = "", resolvedSpec } }: { job: TrainingJob }) {
  const project = useProject();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [opened, dialog] = useDisclosure(false);
  const [id, setId] = useState(lastOf(name));
  const [merged, setMerged] = useState(false);
  const register = useMutation({
    mutationFn: () => registerModel(project, id, name, merged ? "merged" : ""),
    onSuccess: async (model) => {
      await queries.invalidateQueries({ queryKey: ["models"] });
      await navigate(pages.model(model.name ?? ""));
    },
  });
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    register.mutate();
  };
  return (
    <>
      <Button size="xs" onClick={dialog.open}>
        Register as a model
      </Button>
      {/* lockScroll would write a <style> element, which the CSP forbids. */}
      <Modal
        opened={opened}
        onClose={dialog.close}
        title="Register as a model"
        lockScroll={false}
        centered
        size="sm"
      >
        <form className="stack" onSubmit={submit}>
          <TextInput
            label="Name"
            description="Later jobs start from the model by this name."
            value={id}
            onChange={(event) => setId(event.currentTarget.value)}
            error={!ID_PATTERN.test(id) && "Lower-case letters, digits and hyphens; a letter first."}
            data-autofocus
          />
          {resolvedSpec?.publish?.merged && (
            <Checkbox
              label="The whole model with the adapter in it, instead of the adapter"
              checked={merged}
              onChange={(event) => setMerged(event.currentTarget.checked)}
            />
          )}
          {register.isError && <Failure error={register.error} />}
          <Button type="submit" size="sm" loading={register.isPending} disabled={!ID_PATTERN.test(id)}>
            Register
          </Button>
        </form>
      </Modal>
    </>
  );
}

/** Adds an example to a draft: its text, and images from disk, which are sent as those of an import are. */
import { Button, FileInput, Modal, SegmentedControl, Textarea, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import type { DatasetVersion } from "../../api/types";
import { Failure } from "../../components/states";
import { additionForm, editOf, SPLITS, tagsOf, type AdditionForm } from "../../lib/draft";
import { useProject } from "../../session/project";
import { sendFile } from "../../transfer/upload";
import { useUnsaved, type DraftHandle } from "./useDraft";
import css from "./version.module.css";

export function AddExample({ version, draft }: { version: DatasetVersion; draft: DraftHandle }) {
  const [opened, dialog] = useDisclosure(false);
  const form = additionForm(version.kinds ?? []);
  if (form === undefined) return null;
  return (
    <>
      <Button size="xs" variant="default" onClick={dialog.open}>
        Add an example
      </Button>
      <Modal opened={opened} onClose={dialog.close} title="Add an example" lockScroll={false} centered>
        <Fields form={form} draft={draft} close={dialog.close} />
      </Modal>
    </>
  );
}

function Fields({ form, draft, close }: { form: AdditionForm; draft: DraftHandle; close: () => void }) {
  const project = useProject();
  const [images, setImages] = useState<File[]>([]);
  const [question, setQuestion] = useState("");
  const [answer, setAnswer] = useState("");
  const [split, setSplit] = useState("train");
  const [tags, setTags] = useState("");
  const add = useMutation({
    mutationFn: async () => {
      const { signal } = new AbortController();
      const uploads: string[] = [];
      for (const image of images) uploads.push(await sendFile(project, image, signal));
      await draft.add(editOf(form, { uploads, question, answer, split, tags: tagsOf(tags) }));
    },
    onSuccess: close,
  });
  useUnsaved(images.length > 0 || question !== "" || answer !== "" || tags !== "");
  const complete = answer !== "" && (form === "caption" ? images.length === 1 : question !== "");
  return (
    <form
      className={css.fieldStack}
      onSubmit={(event) => {
        event.preventDefault();
        if (complete) add.mutate();
      }}
    >
      {form === "caption" && (
        <FileInput
          label="Image"
          placeholder="Choose a file"
          accept="image/*"
          value={images[0] ?? null}
          onChange={(image) => setImages(image ? [image] : [])}
        />
      )}
      {form === "chatWithImages" && (
        <FileInput
          label="Images"
          description="They come before the question."
          placeholder="Choose files"
          accept="image/*"
          multiple
          value={images}
          onChange={setImages}
        />
      )}
      {form !== "caption" && (
        <Textarea
          label="Question"
          autosize
          minRows={1}
          value={question}
          onChange={(event) => setQuestion(event.currentTarget.value)}
        />
      )}
      <Textarea
        label={form === "caption" ? "Caption" : "Answer"}
        autosize
        minRows={1}
        value={answer}
        onChange={(event) => setAnswer(event.currentTarget.value)}
      />
      <div>
        <span className={css.fieldLabel} id="new-split">
          Split
        </span>
        <SegmentedControl
          size="xs"
          aria-labelledby="new-split"
          data={SPLITS}
          value={split}
          onChange={setSplit}
        />
      </div>
      <TextInput
        label="Tags"
        placeholder="night, rain"
        description="Separated by commas"
        value={tags}
        onChange={(event) => setTags(event.currentTarget.value)}
      />
      {add.error && <Failure error={add.error} />}
      <Button type="submit" size="sm" loading={add.isPending} disabled={!complete}>
        Add it to the draft
      </Button>
    </form>
  );
}

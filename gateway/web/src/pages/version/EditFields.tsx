/** The fields in which an example is edited. What is typed is saved once typing pauses, and when the field is left. */
import { Button, SegmentedControl, Textarea, TextInput } from "@mantine/core";
import { useRef } from "react";
import { Failure } from "../../components/states";
import { useShortcuts } from "../../components/useShortcuts";
import { useTyped } from "../../components/useTyped";
import { SPLITS, tagsOf, type Edited, type Slot } from "../../lib/draft";
import { useUnsaved, type DraftHandle } from "./useDraft";
import css from "./version.module.css";

const SAVE_AFTER_MS = 1_000;

export function TextField({ exampleId, slot, draft }: { exampleId: string; slot: Slot; draft: DraftHandle }) {
  const field = useSaved(slot.text, (text) => draft.save([{ exampleId, text: slot.edit(text) }]));
  return (
    <Textarea
      {...field}
      autosize
      minRows={1}
      size="sm"
      aria-label={`Text of ${slot.label}`}
      className={css.textField}
      data-slot
    />
  );
}

interface FieldsProps {
  edited: Edited;
  draft: DraftHandle;
}

/** Split, tags, and whether it stays. */
export function ExampleFields({ edited, draft }: FieldsProps) {
  const { example, deletions } = edited;
  const exampleId = example.exampleId ?? "";
  const tagsInput = useRef<HTMLInputElement>(null);
  const tags = useSaved((example.tags ?? []).join(", "), (text) =>
    draft.save([{ exampleId, tags: { tags: tagsOf(text) } }]),
  );
  const move = (split: string) => draft.save([{ exampleId, split }]);
  const remove = () => {
    if (deletions.length > 0) draft.revert(deletions);
    else draft.save([{ exampleId, delete: {} }]);
  };
  useShortcuts({
    edit: () => [...document.querySelectorAll<HTMLElement>("textarea[data-slot]")].at(-1)?.focus(),
    split: () => move(SPLITS[(SPLITS.indexOf(example.split ?? "") + 1) % SPLITS.length] ?? ""),
    tags: () => tagsInput.current?.focus(),
    remove,
  });
  return (
    <div className={css.fields}>
      {draft.error && <Failure error={draft.error} />}
      <div>
        <span className={css.fieldLabel} id="example-split">
          Split
        </span>
        <SegmentedControl
          size="xs"
          aria-labelledby="example-split"
          data={SPLITS}
          value={example.split ?? ""}
          onChange={move}
        />
      </div>
      <TextInput
        {...tags}
        ref={tagsInput}
        size="xs"
        label="Tags"
        placeholder="night, rain"
        description="Separated by commas"
      />
      <div className={css.fieldActions}>
        <Button size="xs" variant="default" onClick={remove}>
          {deletions.length > 0 ? "Keep this example" : "Delete this example"}
        </Button>
        {edited.numbers.length > 0 && (
          <Button size="xs" variant="subtle" onClick={() => draft.revert(edited.numbers)}>
            Undo all changes of it
          </Button>
        )}
      </div>
    </div>
  );
}

/** A field that saves itself, and is counted as unsaved until it has. */
function useSaved(value: string, save: (text: string) => void) {
  const { dirty, field } = useTyped(value, save, SAVE_AFTER_MS);
  useUnsaved(dirty);
  return field;
}

/** Narrows the examples: by split, by words, by what the import warned about, and by a filter that a person writes. */
import { Button, Chip, Modal, SegmentedControl, Select, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useRef } from "react";
import { useNavigate } from "react-router";
import { keepMatches, reportQuery } from "../../api/datasets";
import type { DatasetVersion } from "../../api/types";
import { Icon } from "../../components/icons";
import { Failure } from "../../components/states";
import { useShortcuts } from "../../components/useShortcuts";
import { useTyped } from "../../components/useTyped";
import { count, counted, int } from "../../lib/format";
import { pages } from "../../lib/names";
import { EVERYTHING, narrows, wholeFilterOf, type View } from "../../lib/view";
import css from "./version.module.css";

const ASK_AFTER_MS = 300;

interface FiltersProps {
  version: DatasetVersion;
  view: View;
  total: number | undefined;
  show: (view: View) => void;
}

export function Filters({ version, view, total, show }: FiltersProps) {
  const [help, helpDialog] = useDisclosure(false);
  const splits = Object.entries(version.splitCounts ?? {});
  const warned = useWarnings(version);
  return (
    <div className={css.filters}>
      <SegmentedControl
        size="xs"
        aria-label="Split"
        className={css.splits}
        value={view.split}
        onChange={(split) => show({ ...view, split })}
        data={[
          { value: "", label: `All ${count(version.exampleCount)}` },
          ...splits.map(([name, examples]) => ({ value: name, label: `${name} ${count(examples)}` })),
        ]}
      />
      <Typed label="Search the texts" value={view.query} search write={(query) => show({ ...view, query })} />
      <Typed
        label="Filter"
        placeholder="width >= 1024 AND NOT has:problems"
        value={view.filter}
        write={(filter) => show({ ...view, filter })}
      />
      {warned.length > 0 && (
        <Select
          size="xs"
          aria-label="Warned about"
          placeholder="Warned about…"
          data={warned}
          value={view.problem || null}
          onChange={(problem) => show({ ...view, problem: problem ?? "" })}
          clearable
        />
      )}
      <Chip size="xs" checked={view.duplicates} onChange={(duplicates) => show({ ...view, duplicates })}>
        Duplicates
      </Chip>
      <Button size="compact-xs" variant="subtle" onClick={helpDialog.open}>
        How to filter
      </Button>
      {narrows(view) && (
        <span className={css.matches} role="status">
          {total !== undefined && <span>{counted(total, "match", "matches")}</span>}
          {!view.draft && total !== undefined && total > 0 && <KeepButton version={version} view={view} />}
          <Button
            size="compact-xs"
            variant="subtle"
            onClick={() => show({ ...EVERYTHING, split: view.split, draft: view.draft })}
          >
            Show all
          </Button>
        </span>
      )}
      <Modal opened={help} onClose={helpDialog.close} title="How to filter" lockScroll={false} size="lg">
        <FilterHelp />
      </Modal>
    </div>
  );
}

/** A new version of what is shown, and of nothing else. */
function KeepButton({ version, view }: { version: DatasetVersion; view: View }) {
  const navigate = useNavigate();
  const keep = useMutation({
    mutationFn: () => keepMatches(version.name ?? "", wholeFilterOf(view)),
    onSuccess: (operation) => navigate(pages.operation(operation.name ?? "")),
  });
  if (keep.isError) return <Failure error={keep.error} retry={() => keep.mutate()} />;
  return (
    <Button size="compact-xs" variant="light" loading={keep.isPending} onClick={() => keep.mutate()}>
      Make a version of these
    </Button>
  );
}

/** What the import warned about, with its counts; reports of errors only offer nothing. */
function useWarnings(version: DatasetVersion) {
  const report = useQuery({
    ...reportQuery(version.validationReport ?? ""),
    enabled: Boolean(version.validationReport),
  });
  return (report.data?.rules ?? [])
    .filter((rule) => rule.severity === "SEVERITY_WARNING" && int(rule.count) > 0)
    .map((rule) => ({ value: rule.rule ?? "", label: `${rule.rule ?? ""} × ${count(rule.count)}` }));
}

interface TypedProps {
  label: string;
  placeholder?: string;
  value: string;
  search?: boolean;
  write: (text: string) => void;
}

/** A field whose text takes effect once typing pauses. */
function Typed({ label, placeholder = label, value, search = false, write }: TypedProps) {
  const input = useRef<HTMLInputElement>(null);
  const { field } = useTyped(value, write, ASK_AFTER_MS);
  useShortcuts(search ? { search: () => input.current?.focus() } : {});
  return (
    <TextInput
      {...field}
      ref={input}
      size="xs"
      className={css.typed}
      aria-label={label}
      placeholder={placeholder}
      leftSection={search && <Icon name="search" size={13} />}
    />
  );
}

const FIELDS: readonly (readonly [string, string])[] = [
  ["split = validation", "train, validation or test"],
  ["tags:night", "has the tag"],
  ['text:"two cats"', "a message or caption contains it"],
  ['answer = "7"', "the answer is it; answer:7 where it contains it"],
  ["problem = image-small", "the import warned about it by that rule"],
  ["has:problems", "images, tags or problems at all"],
  ["duplicate = true", "one of its images is in another example, too"],
  ["format = PNG", "JPEG, PNG, WEBP, GIF, BMP or TIFF"],
  ["images >= 2", "how many images"],
  ["width < 256", "pixels; height, size_bytes, brightness (0 to 255) alike"],
  ["id:scan-00", "the id contains it"],
];

function FilterHelp() {
  return (
    <div className="stack">
      <p>
        Conditions are joined by <code>AND</code>, <code>OR</code>, <code>NOT</code> and parentheses. Values
        with spaces stand in double quotes.
      </p>
      <dl className={css.filterHelp}>
        {FIELDS.map(([condition, meaning]) => (
          <div key={condition}>
            <dt>
              <code>{condition}</code>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

/** What is done with images before they are stored: nothing, unless it is asked for. */
import { Checkbox, NativeSelect, NumberInput } from "@mantine/core";
import type { ImportChoices } from "../../api/datasets";
import type { ImagePolicy } from "../../api/types";
import css from "./datasets.module.css";

export type ImageChoices = Pick<ImportChoices, "stripMetadata" | "imagePolicy">;

const FORMATS = [
  { value: "FORMAT_UNSPECIFIED", label: "Their own" },
  { value: "FORMAT_JPEG", label: "JPEG" },
  { value: "FORMAT_WEBP", label: "WebP" },
] as const;

interface ImportImagesProps {
  chosen: ImageChoices;
  choose: (choices: ImageChoices) => void;
}

export function ImportImages({ chosen, choose }: ImportImagesProps) {
  const policy = chosen.imagePolicy;
  const change = (imagePolicy: ImagePolicy) => choose({ ...chosen, imagePolicy });
  return (
    <>
      <Checkbox
        label="Remove metadata from images"
        description="EXIF with the place where a picture was taken, XMP, IPTC and comments. Pixels stay as they are."
        checked={chosen.stripMetadata ?? false}
        onChange={(event) => choose({ ...chosen, stripMetadata: event.currentTarget.checked })}
      />
      <Checkbox
        label="Make images smaller"
        description="Only where that makes a file smaller; else it is stored as it came."
        checked={policy !== undefined}
        onChange={(event) => {
          const imagePolicy = event.currentTarget.checked ? { quality: 85 } : undefined;
          choose({ ...chosen, imagePolicy });
        }}
      />
      {policy && (
        <div className={css.policy}>
          <NumberInput
            label="Longest side"
            description="Empty: as it is."
            value={policy.largestSidePx ?? ""}
            onChange={(side) => change({ ...policy, largestSidePx: side === "" ? 0 : Number(side) })}
            min={16}
            max={16384}
            suffix=" px"
          />
          <NativeSelect
            label="Image format"
            description="Of files that are written anew."
            value={policy.format ?? "FORMAT_UNSPECIFIED"}
            onChange={(event) => {
              const format = FORMATS.find((each) => each.value === event.currentTarget.value);
              if (format) change({ ...policy, format: format.value });
            }}
            data={FORMATS}
          />
          <NumberInput
            label="Quality"
            description="Of JPEG and WebP."
            value={policy.quality ?? 85}
            onChange={(quality) => change({ ...policy, quality: Number(quality) || 85 })}
            min={1}
            max={100}
          />
        </div>
      )}
    </>
  );
}

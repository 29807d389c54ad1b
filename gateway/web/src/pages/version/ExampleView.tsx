/** An example as a person reads it: a conversation as bubbles, captions as lines, each image in its place. */
import { Button } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { exampleImageQuery, signImageLinks } from "../../api/datasets";
import type { Example, Message } from "../../api/types";
import { Copyable } from "../../components/Copyable";
import { Facts } from "../../components/Page";
import { Failure, Loading } from "../../components/states";
import { PIXEL_ART_PX } from "../../components/ThumbnailImage";
import { piecesOf } from "../../lib/conversation";
import { editedBy, slotsOfCaptions, type Slot } from "../../lib/draft";
import { bytes, int, pretty } from "../../lib/format";
import { ExampleFields, TextField } from "./EditFields";
import { useDraft } from "./useDraft";
import css from "./version.module.css";

export function ExampleView({ example: saved }: { example: Example }) {
  const draft = useDraft();
  const edited = editedBy(saved, draft?.edits ?? []);
  const { example } = edited;
  const name = example.name ?? "";
  const messages = example.messages ?? [];
  const images = example.images ?? [];
  return (
    <div className="stack">
      {edited.deletions.length > 0 && <p className={css.deleted}>Deleted in this draft</p>}
      {messages.length === 0 &&
        images.map((image, index) => <Image key={image.path} example={example} index={index} />)}
      <Conversation example={example} messages={messages} />
      {slotsOfCaptions(example).map((slot) => (
        <blockquote key={slot.label} className={css.caption}>
          {messages.length > 0 && <p className="muted">Rejected answer</p>}
          <SlotText slot={slot} example={example} />
        </blockquote>
      ))}
      {draft && <ExampleFields key={name} edited={edited} draft={draft} />}
      <Facts
        rows={[
          ["Id", <Copyable key="id" value={example.exampleId ?? ""} />],
          ["Split", draft ? undefined : example.split],
          ["Tags", draft ? undefined : example.tags?.join(", ")],
          ["Warned about", example.problems?.join(", ")],
          ["Name", <Copyable key="name" value={name} />],
        ]}
      />
      {images.map((image, index) => (
        <Facts
          key={`${image.path ?? ""} ${index}`}
          rows={[
            [images.length > 1 ? `Image ${index + 1}` : "Image", image.path],
            ["Pixels", `${int(image.widthPx)} × ${int(image.heightPx)}`],
            ["File", `${image.format ?? ""}, ${bytes(image.sizeBytes)}`],
            [
              "sha256",
              <Copyable key="sha" value={image.sha256 ?? ""} shown={(image.sha256 ?? "").slice(0, 12)} />,
            ],
            ["Link", <ImageLink key={`link ${name} ${index}`} example={name} index={index} />],
          ]}
        />
      ))}
      {example.metadataJson && (
        <div>
          <h3>Other fields of the record</h3>
          <pre className={css.metadata}>{pretty(example.metadataJson)}</pre>
        </div>
      )}
    </div>
  );
}

/** A link to the image that others can open, once it is asked for. */
function ImageLink({ example, index }: { example: string; index: number }) {
  const sign = useMutation({ mutationFn: () => signImageLinks(example) });
  const url = sign.data?.[index];
  if (url) {
    return (
      <>
        <a href={url} target="_blank" rel="noreferrer">
          Open
        </a>{" "}
        <Copyable value={url} shown={`…${url.slice(-12)}`} brief />
      </>
    );
  }
  if (sign.isError) return <Failure error={sign.error} />;
  return (
    <Button size="compact-xs" variant="default" loading={sign.isPending} onClick={() => sign.mutate()}>
      Share for an hour
    </Button>
  );
}

function Conversation({ example, messages }: { example: Example; messages: readonly Message[] }) {
  const pieces = piecesOf(example);
  return (
    <ol className={css.bubbles}>
      {messages.map((message, index) => (
        <li key={index} className={css.bubble} data-role={message.role}>
          <span className={css.role}>{message.role}</span>
          {pieces[index]?.map((piece, place) =>
            "slot" in piece ? (
              <SlotText key={place} slot={piece.slot} example={example} />
            ) : (
              <div key={place} className={piece.images.length > 1 ? css.frames : undefined}>
                {piece.images.map((image) => (
                  <Image key={image} example={example} index={image} />
                ))}
              </div>
            ),
          )}
        </li>
      ))}
    </ol>
  );
}

/** A text as it is, or the field that edits it. */
function SlotText({ slot, example }: { slot: Slot; example: Example }) {
  const draft = useDraft();
  if (!draft) return <span className={css.text}>{slot.text}</span>;
  return <TextField slot={slot} exampleId={example.exampleId ?? ""} draft={draft} />;
}

function Image({ example, index }: { example: Example; index: number }) {
  const image = useQuery(exampleImageQuery(example.name ?? "", index));
  const facts = example.images?.[index];
  if (image.isError) return <Failure error={image.error} retry={() => void image.refetch()} />;
  if (image.isPending) return <Loading what="the image" />;
  const small = Math.max(int(facts?.widthPx), int(facts?.heightPx)) <= PIXEL_ART_PX;
  return (
    <BlobImage blob={image.data} alt={facts?.path ?? ""} className={small ? css.smallImage : css.image} />
  );
}

interface BlobImageProps {
  blob: Blob;
  alt: string;
  className: string | undefined;
}

function BlobImage({ blob, alt, className }: BlobImageProps) {
  const show = (image: HTMLImageElement | null) => {
    if (!image) return;
    const address = URL.createObjectURL(blob);
    image.src = address;
    return () => URL.revokeObjectURL(address);
  };
  return <img ref={show} alt={alt} className={className} />;
}

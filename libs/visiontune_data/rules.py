# ruff: noqa: E501 (a table: one rule a line)
"""Every rule that data can break: how grave, how far it reaches, what it means, what to do."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Severity(IntEnum):
    """How grave a problem is."""

    WARNING = 1
    ERROR = 2


class Scope(StrEnum):
    """What an error takes with it."""

    ARCHIVE = "archive"
    IMAGE = "image"
    RECORD = "record"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `meaning` completes the sentence "this rule is broken when …"."""

    name: str
    severity: Severity
    scope: Scope
    meaning: str
    remedy: str


_E, _W = Severity.ERROR, Severity.WARNING
_A, _I, _R, _V = Scope.ARCHIVE, Scope.IMAGE, Scope.RECORD, Scope.VERSION
_REPACK = "Pack the files again as .tar.gz, .tar or .zip."
_UPLOAD_AGAIN = "Pack the archive again from the original files and upload that."
_ADD_OR_SKIP = "or import with --on-error skip."
_UTF8 = "Save the file as UTF-8 without a byte order mark."
_CONVERT = "Convert it to JPEG or PNG."
_SAVE_AGAIN = f"Save the image again from its source, {_ADD_OR_SKIP}"

# fmt: off
_ALL = (
    # The archive as a file
    Rule("archive-unknown", _E, _A, "the file is not an archive that can be imported", _REPACK),
    Rule("archive-mislabelled", _W, _A, "the file name's suffix says another kind of archive than the bytes", "Rename the file."),
    Rule("archive-unsupported", _E, _A, "the file is an archive of a kind that is not read", _REPACK),
    Rule("archive-empty", _E, _A, "the file has no bytes, or the archive no files", "Put the metadata file and the images into it."),
    Rule("archive-truncated", _E, _A, "the archive ends before its end marker", "Upload it again; if it stays so, pack it again."),
    Rule("tar-header-corrupt", _E, _A, "a member's header fails its checksum", _UPLOAD_AGAIN),
    Rule("tar-size-invalid", _E, _A, "a member's header holds no valid size", _UPLOAD_AGAIN),
    Rule("tar-header-huge", _E, _A, "a member's extended header is larger than 1 MiB", "Pack again without extended attributes."),
    Rule("tar-sparse", _E, _A, "a member is a sparse file", "Pack again without --sparse."),
    Rule("gzip-corrupt", _E, _A, "the compressed data fails its checksum or cannot be decompressed", _UPLOAD_AGAIN),
    Rule("trailing-data", _W, _A, "bytes follow the end of the archive", "Nothing, if you know them; they are ignored."),
    Rule("archive-bomb", _E, _A, "the archive decompresses to more than 100 times its size, or to more than the limit", "Upload the images as they are, without padding."),
    Rule("archive-nested", _W, _A, "the archive holds another archive, which is not opened", "Unpack the inner archive and pack its files directly."),
    Rule("member-count", _E, _A, "the archive has more members than the limit", "Leave out files that are neither images nor metadata, or split the archive."),
    Rule("zip-overlap", _E, _A, "two entries of the zip share the same bytes", _UPLOAD_AGAIN),
    Rule("zip-name-mismatch", _E, _A, "the zip's directory and the file's own header name it differently", _UPLOAD_AGAIN),
    Rule("zip-crc", _E, _A, "a file in the zip fails its checksum", _UPLOAD_AGAIN),
    Rule("zip-size-lie", _E, _A, "a file in the zip is not as long as the zip's directory says", _UPLOAD_AGAIN),
    Rule("zip-encrypted", _E, _A, "a file in the zip is encrypted", "Pack again without a password."),
    Rule("zip-method", _E, _A, "a file in the zip is compressed by a method that is not read", "Pack again with ordinary (Deflate) compression."),
    Rule("zip-name-encoding", _W, _A, "a name in the zip is UTF-8 but not marked so", "Nothing; it was read as UTF-8."),
    # Names of members
    Rule("path-traversal", _E, _A, "a member's path leads out of the archive", "Pack again with paths below the archive's root."),
    Rule("path-absolute", _E, _A, "a member's path is absolute", "Pack again with relative paths."),
    Rule("path-link", _E, _A, "a member is a symbolic or hard link", "Pack the file itself (tar --dereference)."),
    Rule("path-special", _E, _A, "a member is a device, a pipe or another special file", "Leave it out."),
    Rule("path-duplicate", _E, _A, "two members have the same path", "Keep one of them."),
    Rule("path-unicode-collision", _E, _A, "two paths differ only in how Unicode composes their letters", "Rename one of them."),
    Rule("path-case-collision", _W, _A, "two paths differ only in upper and lower case", "Rename one, or it will be lost on macOS and Windows."),
    Rule("path-not-utf8", _E, _A, "a member's path is not UTF-8", "Rename the file."),
    Rule("path-control", _E, _A, "a member's path contains control characters", "Rename the file."),
    Rule("path-backslash", _W, _A, "a member's path uses backslashes", "Nothing; they were read as slashes."),
    Rule("path-too-long", _E, _A, "a member's path is longer than 1,024 bytes", "Shorten it."),
    # Metadata files and their records
    Rule("metadata-missing", _E, _A, "the archive has no file of records", "Add one beside the images."),
    Rule("metadata-ambiguous", _E, _A, "several files could be the one with the records", "Keep one, or name them train.jsonl and validation.jsonl."),
    Rule("format-unknown", _E, _A, "the records are of no format that is known", "Name the format, and compare a record with its example."),
    Rule("format-mixed", _E, _A, "the first records are of different formats", "Import each format as a dataset of its own."),
    Rule("json-syntax", _E, _R, "a record is not valid JSON", f"Correct it, {_ADD_OR_SKIP}"),
    Rule("json-bom", _W, _A, "the file begins with a byte order mark", _UTF8),
    Rule("json-utf16", _E, _A, "the file is UTF-16", _UTF8),
    Rule("json-encoding", _E, _R, "a record is not UTF-8", _UTF8),
    Rule("json-nul", _E, _R, "a text contains the character U+0000", "Remove it."),
    Rule("json-surrogate", _E, _R, "a text contains half of a surrogate pair", "Write the whole character."),
    Rule("json-duplicate-key", _E, _R, "an object has the same key twice", "Keep one of the two."),
    Rule("json-nonfinite", _E, _R, "a number is NaN or infinite", "Write a finite number, or null."),
    Rule("json-depth", _E, _R, "a record is nested deeper than 64 levels", "Flatten it."),
    Rule("json-bigint", _E, _R, "an integer does not fit 64 bits", "Write it as text."),
    Rule("json-not-object", _E, _R, "a record is not a JSON object", "Write one object a record."),
    Rule("record-too-large", _E, _R, "a record is larger than 1 MiB", "Shorten it; images belong into files of their own."),
    Rule("csv-shape", _E, _R, "a row does not fit the header", "Quote fields that contain commas, quotes or line breaks."),
    Rule("parquet-corrupt", _E, _A, "a Parquet file cannot be read", "Write it again, or upload it again if it is whole at home."),
    Rule("limit-records", _E, _A, "there are more records than the limit", "Split the data into several datasets."),
    Rule("field-missing", _E, _R, "a record lacks a field", f"Add it, {_ADD_OR_SKIP}"),
    Rule("field-type", _E, _R, "a field has the wrong type", f"Correct it, {_ADD_OR_SKIP}"),
    Rule("field-unknown", _W, _R, "a field's name is nearly that of a known field", "Rename it if it was meant; otherwise it is kept as metadata."),
    Rule("id-duplicate", _E, _R, "two records have the same id", "Give each record its own id, or none."),
    Rule("id-in-base", _E, _R, "a record has the id of an example of the version that the import goes on from", "Give it another id, or import with --mode replace."),
    # References to images
    Rule("image-missing", _E, _R, "a record names an image that the archive lacks", f"Add it, {_ADD_OR_SKIP}"),
    Rule("image-name-differs", _W, _R, "an image was found only by ignoring case or percent-encoding", "Write the path as it is in the archive."),
    Rule("webdataset-key", _W, _R, "an image belongs to the files beside it by the part of its name before the first dot alone", "Nothing, if that is one sample; otherwise keep dots out of the names."),
    Rule("image-unused", _W, _V, "no record names the image", "Remove it, or add a record."),
    Rule("image-path-unsafe", _E, _R, "a record's image path is absolute or leads out of the archive", "Write a path inside the archive, relative to the metadata file."),
    Rule("image-url-refused", _E, _R, "a record names its image by a URL whose host is not allowed", "Put the image into the archive and write its path, or ask the operator to allow the host."),
    Rule("image-url-private", _E, _R, "an image's URL leads to an address that is not public", "Put the image into the archive and write its path."),
    Rule("image-url-failed", _E, _R, "an image cannot be fetched from its URL", f"Check the URL, {_ADD_OR_SKIP}"),
    Rule("data-url-invalid", _E, _R, "an image inside a record is no valid data: URL", "Write data:image/png;base64, and the file's bytes in base64."),
    Rule("placeholder-count", _E, _R, "the number of <image> marks differs from the number of images", "Write one <image> for each image."),
    Rule("video-missing", _E, _R, "a record names a video that the archive lacks", f"Add the file, or the folder with its frames, {_ADD_OR_SKIP}"),
    Rule("video-corrupt", _E, _R, "no frames can be had of a video", f"Save it again as MP4 or WebM, or put its frames into a folder, {_ADD_OR_SKIP}"),
    # Images
    Rule("image-empty", _E, _I, "an image file has no bytes", _SAVE_AGAIN),
    Rule("image-not-image", _E, _I, "a file named as an image is something else", f"Replace it by the image, {_ADD_OR_SKIP}"),
    Rule("image-unsupported", _E, _I, "the image is of a kind that is not read", _CONVERT),
    Rule("image-truncated", _E, _I, "the image ends too early", _SAVE_AGAIN),
    Rule("image-corrupt", _E, _I, "the image cannot be decoded", _SAVE_AGAIN),
    Rule("image-float", _E, _I, "the image's samples are floating point numbers", "Save it with 8 or 16 bits a sample."),
    Rule("image-bomb", _E, _I, "the image has more pixels than the limit", "Scale it down."),
    Rule("image-metadata-bomb", _E, _I, "the image's embedded text or profile decompresses to too much", "Save it without metadata."),
    Rule("image-side", _E, _I, "the image is too small or too large in width or height", "Scale it, or leave it out."),
    Rule("image-bytes", _E, _I, "the image file is larger than the limit", "Scale it down or compress it more."),
    Rule("image-animated", _W, _I, "the image has several frames; the first is used", "Nothing, if the first frame is meant."),
    Rule("image-mislabelled", _W, _I, "the file name's suffix says another kind of image than the bytes", "Rename the file."),
    Rule("image-alpha", _W, _I, "almost all of the image is transparent", "Check that it is not empty."),
    Rule("image-exif-invalid", _W, _I, "the image's EXIF orientation cannot be read and is ignored", "Save it without EXIF."),
    Rule("image-icc-invalid", _W, _I, "the image's colour profile cannot be read and is ignored", "Save it as sRGB."),
    Rule("image-blank", _W, _I, "the image is of one colour, or nearly", "Check that it is not empty."),
    Rule("image-metadata-kept", _E, _I, "the import is to remove metadata, and from this image it cannot be removed", _CONVERT),
    Rule("image-small", _W, _I, "the image has a side of fewer than 32 pixels", "Nothing, if it is meant."),
    Rule("aspect-extreme", _W, _I, "one side of the image is more than 20 times the other", "Crop it."),
    Rule("limit-images", _E, _A, "there are more images than the limit", "Split the data into several datasets, or ask the operator for more."),
    # Conversations and captions
    Rule("messages-empty", _E, _R, "a conversation has no messages", f"Add them, {_ADD_OR_SKIP}"),
    Rule("role-unknown", _E, _R, "a message's role is not known", "Use human, gpt or system."),
    Rule("content-type-unknown", _E, _R, "a part of a message is of a type that the format does not know", "Use the types that the format lists, or another format."),
    Rule("role-order", _E, _R, "the roles are in an order that no chat has", "Begin with the user (after a system message, if any) and let the roles alternate."),
    Rule("no-assistant", _E, _R, "a conversation has no answer", "Add the answer: without one there is nothing to learn."),
    Rule("answer-empty", _E, _R, "an answer has no text", "Write the answer: without one there is nothing to learn."),
    Rule("pair-prompts-differ", _E, _R, "the chosen and the rejected answer do not follow the same messages", "Write the same conversation before both, or once as the prompt."),
    Rule("pair-many", _E, _R, "a conversation has several rejected answers", "Write a record for each."),
    Rule("pair-equal", _W, _R, "the rejected answer is the chosen one", "Leave the record out: nothing can be learnt from it."),
    Rule("caption-empty", _E, _R, "a caption has no text", "Write the caption: without one there is nothing to learn."),
    Rule("too-many-messages", _E, _R, "a conversation has more messages than the limit", "Split it into several records."),
    Rule("too-many-images", _E, _R, "a record has more images than the limit, or larger ones together", "Split it into several records."),
    Rule("text-empty", _W, _R, "a message that is no answer has neither text nor an image", "Write the question, or remove the message."),
    Rule("text-too-long", _W, _R, "a text is longer than common models read", "Shorten it, or it will be cut in training."),
    Rule("special-token", _W, _R, "a text contains what models use as a control token", "Remove it, unless it is meant."),
    Rule("text-control", _W, _R, "a text contains control or direction characters", "Remove them."),
    Rule("text-mojibake", _W, _R, "a text looks decoded by the wrong character set", "Save the file again as UTF-8 from its source."),
    # Edits of a version
    Rule("edit-unknown-example", _E, _R, "an edit names an example that is not there, or not any more", "Look for its id: visiontune dataset examples."),
    Rule("edit-no-such-text", _E, _R, "an edit names a message, a caption or a text in a message that the example does not have", "Read the example and count from 0."),
    Rule("edit-other-kind", _E, _R, "an added example has images, messages or captions, and the version has no place for them", "Import it into a dataset of its own."),
    # The version as a whole
    Rule("base-other-kind", _E, _V, "the records have images, messages or captions, and the version that the import goes on from has no place for them", "Import them into a dataset of their own."),
    Rule("zero-examples", _E, _V, "no example is left", "Correct the records that were left out."),
    Rule("duplicate-near", _W, _V, "images look nearly the same", "Keep one, if they are not meant to differ."),
    Rule("split-leak-near", _W, _V, "images that look nearly the same are in different splits that the data names", "Put them into one split, or let the import decide the splits."),
    Rule("label-skew", _W, _V, "the answers are labels, and the most frequent is 20 times as frequent as the rarest", "Add examples of the rare ones, or leave some of the frequent out."),
    Rule("context-length", _W, _V, "examples are longer, in estimated tokens, than what common models read", "Shorten them, or train with a model and a length that take them; else they are cut."),
    Rule("duplicate-exact", _W, _V, "several image files have the same bytes", "Keep one, if the copies are not meant."),
    Rule("split-unknown", _E, _R, "a record names a split that is not known", "Use train, validation or test."),
    Rule("split-empty", _E, _V, "a split that the data names has no examples", "Add examples to it, or do not name it."),
    Rule("split-leak", _E, _V, "the same image is in two named splits", "Keep it in one of them."),
    Rule("answers-identical", _W, _V, "nearly all examples have the same answer", "Check that the answers are the ones you meant."),
)
# fmt: on

RULES = {rule.name: rule for rule in _ALL}

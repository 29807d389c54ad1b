"""Between proto messages and drafts; pure."""

from visiontune import reports
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune_data.edits import Add, Delete, Edit, SetSplit, SetTags, SetText
from visiontune_data.example import Example, Message, Part, Role, canonical, joined
from visiontune_data.previews import tags_of

from visiontune_dataset import viewing_wire, wire
from visiontune_dataset.domain.drafts import Draft
from visiontune_dataset.use_cases.drafts import Accepted, EditExamples, NewExample, NewImage

_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


def draft_to(draft: Draft) -> pb.Draft:
    """Writes the resource."""
    return pb.Draft(
        name=draft.name,
        base_version=draft.base_name,
        edit_count=draft.edit_count,
        operation=draft.operation,
        create_time=wire.timestamp(draft.created_at),
        update_time=wire.timestamp(draft.updated_at),
        expire_time=wire.timestamp(draft.expires_at),
        etag=draft.etag,
    )


def edit_examples_from(request: pb.EditExamplesRequest) -> EditExamples:
    """Reads the request."""
    project, dataset_id, draft_id = wire.segments(request.name)
    edits = [_edit_from(edit) for edit in request.edits]
    return EditExamples(project, dataset_id, draft_id, request.etag, edits)


def accepted_to(accepted: Accepted) -> pb.EditExamplesResponse:
    """Writes what became of edits."""
    return pb.EditExamplesResponse(
        draft=draft_to(accepted.draft),
        edits=[edit_to(number, edit) for number, edit in accepted.numbered],
        warnings=[reports.problem_to(problem, "") for problem in accepted.warnings],
    )


def edit_to(number: int, edit: Edit) -> pb.Edit:
    """Writes one edit."""
    match edit:
        case SetText(example, index, text, is_caption, part):
            place = {"caption": index} if is_caption else {"message": index}
            return pb.Edit(number=number, example_id=example, text=pb.TextEdit(**place, part=part, text=text))
        case SetSplit(example, split):
            return pb.Edit(number=number, example_id=example, split=split)
        case SetTags(example, tags):
            return pb.Edit(number=number, example_id=example, tags=pb.TagsEdit(tags=tags))
        case Delete(example):
            return pb.Edit(number=number, example_id=example, delete=pb.Deletion())
        case Add(new):
            return pb.Edit(number=number, example_id=new.id, add=_added_to(new))


def _added_to(new: Example) -> pb.AddedExample:
    return pb.AddedExample(
        messages=[
            viewing_wire.message_to(
                {"role": m.role, "content": [{"type": part.type, "text": part.text} for part in m.content]}
            )
            for m in new.messages
        ],
        texts=new.texts,
        images=[pb.AddedImage(sha256=image.sha256) for image in new.images],
        split=new.split,
        tags=tags_of(new),
    )


def _edit_from(edit: pb.Edit) -> Edit | NewExample:
    example = edit.example_id
    match edit.WhichOneof("change"):
        case "text":
            is_caption = edit.text.WhichOneof("place") == "caption"
            index = edit.text.caption if is_caption else edit.text.message
            part = edit.text.part if edit.text.HasField("part") else None
            return SetText(example, index, edit.text.text, is_caption, part)
        case "split":
            return SetSplit(example, edit.split)
        case "tags":
            return SetTags(example, tuple(edit.tags.tags))
        case "delete":
            return Delete(example)
        case _:
            return _added_from(example, edit.add)


def _added_from(example_id: str, added: pb.AddedExample) -> NewExample:
    tags = list(dict.fromkeys(added.tags))
    return NewExample(
        Example(
            id=example_id,
            images=(),
            messages=tuple(Message(_ROLES[m.role], _content(m)) for m in added.messages),
            texts=tuple(added.texts),
            split=added.split,
            metadata_json=canonical({"tags": tags}).decode() if tags else "",
        ),
        tuple(NewImage(image.sha256, image.upload) for image in added.images),
    )


def _content(message: pb.Message) -> tuple[Part, ...]:
    return joined(
        Part(None if part.type == pb.ContentPart.TYPE_IMAGE else part.text) for part in message.content
    )

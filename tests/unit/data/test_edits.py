"""Edits: what each makes of an example, and what it is refused for, as an import would refuse it."""

from typing import Any

import pytest
from visiontune_data.edits import Add, Delete, Edit, Edited, SetSplit, SetTags, SetText, changes_between
from visiontune_data.example import IMAGE, Example, Image, Kind, Message, Part
from visiontune_data.limits import Limits
from visiontune_data.previews import tags_of

PICTURE = Image("a.jpg", "a" * 64, 64, 48, "JPEG", 0, 9)
ASKED = Message("user", (IMAGE, Part("What is it?")))
SEVEN = Message("assistant", (Part("Seven."),))
CHAT = Example("chat", (PICTURE,), (ASKED, SEVEN), (), "train", '{"a":1}', problems=("image-small",))
TWO = Example(
    "two",
    (PICTURE, PICTURE),
    (Message("user", (IMAGE, Part("First"), IMAGE, Part("Last"))), SEVEN),
    (),
    "train",
    "",
)
BARE = Example("bare", (PICTURE,), (Message("user", (IMAGE,)), SEVEN), (), "train", "")
CAPTION = Example("caption", (PICTURE,), (), ("A dog.", "A hound."), "test", "")
BASE = {each.id: each for each in (CHAT, TWO, BARE, CAPTION)}


def edited(**more: Any) -> Edited:
    return Edited(BASE.get, frozenset(Kind), Limits(**more))


def after(edit: Edit) -> Example:
    """What the edit makes of its example."""
    found = edited()
    assert not found.apply(edit)
    [(_, made)] = found.changed.items()
    assert made is not None
    return made


def refused(edit: Edit, before: tuple[Edit, ...] = (), **limits: Any) -> list[str]:
    """The problems of an edit, as lines; with an error among them it leaves nothing behind."""
    found = edited(**limits)
    for each in before:
        assert not found.apply(each)
    was = dict(found.changed), dict(found.added)
    lines = [problem.text("draft") for problem in found.apply(edit)]
    assert (found.changed, found.added) == was
    return lines


def test_a_text_changes_where_it_stands() -> None:
    made = after(SetText("chat", 0, "And now?"))
    assert made.messages == (Message("user", (IMAGE, Part("And now?"))), SEVEN)
    assert (made.images, made.problems) == (CHAT.images, ("image-small",))
    assert after(SetText("two", 0, "Middle", part=0)).messages[0].content == (
        IMAGE,
        Part("Middle"),
        IMAGE,
        Part("Last"),
    )
    assert after(SetText("bare", 0, "Said")).messages[0].content == (IMAGE, Part("Said"))
    assert after(SetText("two", 0, "", part=1)).messages[0].content == (IMAGE, Part("First"), IMAGE)
    assert after(SetText("caption", 1, "A wolf.", is_caption=True)).texts == ("A dog.", "A wolf.")


def test_splits_and_tags_change() -> None:
    assert after(SetSplit("chat", "val")).split == "validation"
    tagged = after(SetTags("chat", ("night", "rain", "night")))
    assert (tagged.metadata_json, tags_of(tagged)) == ('{"a":1,"tags":["night","rain"]}', ("night", "rain"))
    bare = after(SetTags("bare", ()))
    assert bare.metadata_json == ""


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (SetText("chat", 1, " "), "draft › chat › $.messages[1]: the answer has no text. Write the answer"),
        (
            SetText("caption", 0, "", is_caption=True),
            "draft › caption › $.texts[0]: the caption has no text.",
        ),
        (SetText("chat", 1, "a\0b"), "draft › chat › $: the text contains U+0000. Remove it."),
        (SetText("chat", 2, "x"), "$.messages[2]: there are 2 messages, counted from 0. Read the example"),
        (SetText("caption", 2, "x", is_caption=True), "$.texts[2]: there are 2 captions, counted from 0."),
        (SetText("two", 0, "x"), "the message has 2 texts between its images; say which: part 0 to 1"),
        (SetText("two", 0, "x", part=2), "$.messages[0].content: there are 2 texts, counted from 0."),
        (SetSplit("chat", "tset"), 'draft › chat › $.split: the split "tset" is none of train'),
        (Delete("none"), 'draft › none: there is no example "none". Look for its id'),
    ],
)
def test_an_edit_is_refused(edit: Edit, complaint: str) -> None:
    [line] = [line for line in refused(edit) if "control characters" not in line][-1:]
    assert complaint in line


def test_a_warning_does_not_stop_an_edit_and_stays_with_the_example() -> None:
    found = edited()
    [warning] = found.apply(SetText("chat", 1, "Seven.</s>"))
    assert warning.rule == "special-token"
    made = found.changed["chat"]
    assert made
    assert made.problems == ("image-small", "special-token")
    assert not found.apply(SetText("chat", 1, "Seven."))
    again = found.changed["chat"]
    assert again == CHAT


def test_edits_see_what_those_before_them_made() -> None:
    found = edited()
    for edit in (SetSplit("chat", "test"), SetText("chat", 1, "Eight."), Delete("bare")):
        assert not found.apply(edit)
    made = found.changed["chat"]
    assert made
    assert (made.split, made.answers) == ("test", ("Eight.",))
    assert found.changed["bare"] is None
    assert "there is no example" in refused(SetSplit("bare", "test"), (Delete("bare"),))[0]


def new(**fields: Any) -> Example:
    values = {"id": "new", "images": (PICTURE,), "messages": (ASKED, SEVEN), "texts": (), "split": "train"}
    return Example(**{**values, "metadata_json": "", **fields})


def test_what_is_added_can_be_edited_and_deleted_again() -> None:
    found = edited()
    assert not found.apply(Add(new(), (("a" * 64, "projects/p/objects/o"),)))
    assert not found.apply(SetText("new", 1, "Eight."))
    assert found.added["new"].answers == ("Eight.",)
    assert found.uploads == {"a" * 64: "projects/p/objects/o"}
    assert not found.apply(Delete("new"))
    assert (found.added, found.changed) == ({}, {})


def test_an_id_is_made_of_the_content_where_none_is_given() -> None:
    found = edited()
    for _ in range(3):
        assert not found.apply(Add(new(id="")))
    first, *copies = found.added
    assert copies == [f"{first}-2", f"{first}-3"]


@pytest.mark.parametrize(
    ("example", "complaint"),
    [
        (new(id="chat"), 'draft › chat › $.id: the id "chat" is taken.'),
        (new(images=()), "draft › new › $.messages: 1 places for images in the messages, 0 images."),
        (new(messages=(ASKED,)), "draft › new › $: no message is an answer."),
        (new(messages=(SEVEN, ASKED)), "message 0 is an answer to nothing"),
    ],
)
def test_what_is_added_is_checked_as_a_record(example: Example, complaint: str) -> None:
    assert any(complaint in line for line in refused(Add(example)))


@pytest.mark.parametrize(
    ("kinds", "example", "complaint"),
    [
        ({Kind.CHAT}, new(), "it has images, the version none"),
        (
            {Kind.CHAT},
            new(images=(), messages=(), texts=("A dog.",)),
            "it has images and texts, the version none",
        ),
        ({Kind.CAPTIONED_IMAGE}, new(), "it has messages, the version none"),
    ],
)
def test_what_the_version_has_no_place_for_is_refused(
    kinds: set[Kind], example: Example, complaint: str
) -> None:
    problems = Edited(BASE.get, kinds, Limits()).apply(Add(example))
    assert ("edit-other-kind", complaint) in [(problem.rule, problem.message) for problem in problems]


def test_limits_hold_for_edits_too() -> None:
    assert (
        "2 images; at most 1 are accepted"
        in refused(
            Add(new(images=(PICTURE, PICTURE), messages=(TWO.messages[0], SEVEN))), images_per_example=1
        )[0]
    )


def test_what_changed_is_named() -> None:
    assert changes_between(CHAT, CHAT) == ()
    assert changes_between(CHAT, after(SetTags("chat", ("x",)))) == ("tags",)
    assert changes_between(CHAT, after(SetSplit("chat", "test"))) == ("split",)
    assert changes_between(CHAT, new(id="chat", images=())) == ("images", "metadata")
    assert changes_between(CAPTION, new(id="caption", split="test")) == ("messages", "texts")

"""A small dataset of each format with all that the format can hold, packed as a tar."""

from collections.abc import Mapping

from tests.support.archives import captions, jsonl, llava, numbered, picture, tar

MORE = {"source": {"page": 3, "né": ["ü", 1.5, None]}}  # metadata


def _llava() -> bytes:
    records = [
        llava("img/a.jpg", "One.", "<image>\nWhat\n\nis it?", id="x y/1", **MORE),
        llava(["img/a.jpg", "img/ü.png"], "Two.", "First\n<image>\n\n\n<image>\nLast\n"),
        llava(["img/ü.png", "img/c.jpg"], "see <image>"),
        llava(None, "Text alone."),
        {"image": "img/d.jpg", "conversations": _turns()},
    ]
    images = {f"img/{name}": picture(n) for n, name in enumerate(["a.jpg", "c.jpg", "d.jpg"])}
    files = numbered(20)
    return tar(
        {
            "train.jsonl": jsonl(*records) + files.pop("train.jsonl"),
            "img/ü.png": picture(9, "PNG"),
            **images,
            **files,
        }
    )


def _turns() -> list[dict[str, str]]:
    said = [
        ("system", "Be\nbrief."),
        ("human", "Hi"),
        ("human", "What?"),
        ("gpt", "A"),
        ("human", "\n"),
        ("gpt", "B"),
    ]
    return [{"from": speaker, "value": value} for speaker, value in said]


def _image_caption() -> bytes:
    files = captions(20)
    more = jsonl(
        {"file_name": "x/y.jpg", "caption": ["a", "b\n"], **MORE}, {"file_name": "001.jpg", "text": "again"}
    )
    return tar(files | {"metadata.jsonl": files["metadata.jsonl"] + more, "x/y.jpg": picture(50)})


DATASETS: Mapping[str, bytes] = {"llava": _llava(), "image-caption": _image_caption()}

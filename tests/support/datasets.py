"""A small dataset of each format with all that the format can hold, packed as a tar."""

import base64
import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from tests.support.archives import captions, jsonl, llava, numbered, parquet, picture, tar, video

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


def _turns(begin: str = "") -> list[dict[str, str]]:
    said = [
        ("system", "Be\nbrief."),
        ("human", f"{begin}Hi"),
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


def _qwen2_vl() -> bytes:
    def said(role: str, *parts: str | dict[str, Any]) -> dict[str, Any]:
        content = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
        return {"role": role, "content": content}

    a, b = ({"type": "image", "image": f"i/{name}.jpg"} for name in "ab")
    records = [
        {"messages": [said("user", a, "and", "so", b, ""), said("assistant", "One."),
                      said("user", a, "Then?"), said("assistant", "Two.")], "id": 7, **MORE},
        {"messages": [said("system", "S"), said("user", "first", a), said("assistant", "X")]},
        {"messages": [{"role": "user", "content": "<image>A\n<image>"}, said("assistant", "B")],
         "images": ["i/a.jpg", "i/b.jpg"]},
        {"messages": [said("user", {"type": "image"}, "TRL"), said("assistant", "C")], "images": ["i/b.jpg"]},
        *({"messages": [said("user", f"Number {n}?"), said("assistant", str(n))]} for n in range(20)),
    ]  # fmt: skip
    return tar({"train.jsonl": jsonl(*records), "i/a.jpg": picture(1), "i/b.jpg": picture(2)})


def _sharegpt() -> bytes:
    records = [
        {"conversations": _turns("<image>"), "images": ["a.jpg"], **MORE},
        {"query": "Q<image>", "response": "R", "images": "b.jpg", "history": [["<image>h", "i"], ["j", "k"]]}
        | {"images": ["a.jpg", "b.jpg"]},
        {"query": "<video>?", "response": "R", "videos": ["f"]},
        {"system": "Be kind.", "instruction": "I", "input": "in", "output": "O", "images": ["c.jpg"]},
        *({"query": f"{n}?", "response": str(n), "images": [f"{n}.jpg"], "id": f"r{n}"} for n in range(20)),
    ]
    names = ["a.jpg", "b.jpg", "c.jpg", *(f"{n}.jpg" for n in range(20))]
    frames = {f"f/{n}.jpg": picture(30 + n) for n in range(3)}
    return tar(
        {
            "data.json": json.dumps(records).encode(),
            **frames,
            **{name: picture(n) for n, name in enumerate(names)},
        }
    )


def _clip() -> bytes:
    rows = [["filepath", "title"], *([f"{n}.jpg", f"noise, {n}"] for n in range(20)), ["0.jpg", 'a "b"']]
    table = io.StringIO()
    csv.writer(table, delimiter="\t").writerows(rows)
    return tar({"train.tsv": table.getvalue().encode(), **{f"{n}.jpg": picture(n) for n in range(20)}})


def _retrieval() -> bytes:
    names = [f"p/{n}.png" for n in range(20)]
    records: list[dict[str, Any]] = [
        {"query": f"page {n}?", "pos_target": name} for n, name in enumerate(names)
    ]
    records += [{"query": "none of", "image": names[0], "negatives": names[1:4], **MORE}]
    records += [{"query": "two", "image": names[:2], "neg_target": "p/only.png", "id": "q"}]
    pictures = {name: picture(n, "PNG") for n, name in enumerate([*names, "p/only.png"])}
    return tar({"train.jsonl": jsonl(*records), **pictures})


def _parquet() -> bytes:
    """Several files of a split, as Hugging Face writes them; an image in many rows, and none in some."""

    def row(number: int, *images: int) -> dict[str, Any]:
        said = [*({"type": "image", "text": None} for _ in images), {"type": "text", "text": f"{number}?"}]
        answer = {"role": "assistant", "content": [{"type": "text", "text": "A"}]}
        structs = [{"bytes": picture(n), "path": "a.jpg" if n % 2 else None} for n in images]
        messages = [{"role": "user", "content": said}, answer]
        return {
            "id": f"r{number}",
            "images": structs,
            "messages": messages,
            "split": "train",
            "metadata": "{}",
        }

    rows = [row(n, n % 5, 7) for n in range(20)] + [row(20), row(21, 1) | {"metadata": json.dumps(MORE)}]
    held_out = [row(n, 30) | {"split": "validation"} for n in (22, 23)]
    return tar(
        {
            "data/train-00000-of-00002.parquet": parquet(rows[:10]),
            "data/train-00001-of-00002.parquet": parquet(rows[10:]),
            "data/validation-00000-of-00001.parquet": parquet(held_out),
        }
    )


def _video_llava() -> bytes:
    """Videos as files, folders and lists of frames, beside images and text alone."""
    records: list[dict[str, Any]] = [
        {"video": "v/clip.mp4", "conversations": _turns("<video>"), **MORE},
        {"video": ["f/1.jpg", "f/2.jpg"], "image": "a.jpg", "conversations": _turns("<image>then<video>")},
        {"video": ["v/clip.mp4", "f"], "conversations": _turns("First <video>\n<video>")},
        {"video": "f", "conversations": _turns()},
        *(llava(f"{n}.jpg", f"A {n}.", id=n) for n in range(12)),
        llava(None, "Text."),
    ]
    frames = {f"f/{n}.jpg": picture(n) for n in range(1, 12)}
    images = {f"{n}.jpg": picture(40 + n) for n in ("a", *range(12)) if n != "a"} | {"a.jpg": picture(60)}
    return tar({"train.jsonl": jsonl(*records), "v/clip.mp4": video(20), **frames, **images})


def _openai() -> bytes:
    def asked(number: int, *images: bytes) -> dict[str, Any]:
        urls = [f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" for data in images]
        parts = [{"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in urls]
        content = [{"type": "text", "text": f"{number}?"}, *parts] if images else f"{number}?"
        return {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "A"}]}

    records = [asked(n, picture(n)) for n in range(20)]
    return tar({"train.jsonl": jsonl(asked(20, picture(0), picture(20)) | MORE, asked(21), *records)})


def _chat() -> bytes:
    records = [
        {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"},
                      {"role": "assistant", "content": [{"type": "text", "text": "see <image>"}]}], **MORE},
        {"conversations": _turns()},
        {"instruction": "I", "output": "O"},
        *({"query": f"{n}?", "response": str(n), "id": n} for n in range(20)),
    ]  # fmt: skip
    return tar({"data.jsonl": jsonl(*records)})


def _preference() -> bytes:
    """TRL's, LLaMA-Factory's and ms-swift's records, with images, a video and without."""

    def said(role: str, text: str) -> dict[str, Any]:
        return {"role": role, "content": text}

    parts = [{"type": "image"}, {"type": "text", "text": "and"}, {"type": "image"}]
    asked = [said("system", "S"), {"role": "user", "content": parts}]
    records: list[dict[str, Any]] = [
        {"prompt": asked, "chosen": [said("assistant", "A")], "rejected": [said("assistant", "B")],
         "images": ["0.jpg", "1.jpg"], "id": 7, **MORE},
        {"chosen": [said("user", "Q"), said("assistant", "A")], "image": "2.jpg",
         "rejected": [said("user", "Q"), said("assistant", "B")]},
        {"conversations": _turns("<image>"), "images": ["3.jpg"], "chosen": {"from": "gpt", "value": "X"},
         "rejected": {"from": "gpt", "value": "Y"}},
        {"messages": [said("user", "<video>?"), said("assistant", "A")], "videos": ["f"],
         "rejected_response": "B"},
        {"query": "Q", "response": "R", "rejected_response": "S", "system": "Be kind."},
        {"instruction": "I", "input": "in", "chosen": "A", "rejected": "B"},
        *({"prompt": f"<image>{n}?", "chosen": "yes", "rejected": "no", "images": [f"{n}.jpg"]}
          for n in range(20)),
    ]  # fmt: skip
    records[2]["conversations"].pop()
    frames = {f"f/{n}.jpg": picture(30 + n) for n in range(3)}
    return tar({"train.jsonl": jsonl(*records), **frames, **{f"{n}.jpg": picture(n) for n in range(20)}})


DATASETS: Mapping[str, bytes] = {
    "llava": _llava(),
    "image-caption": _image_caption(),
    "qwen2-vl": _qwen2_vl(),
    "sharegpt": _sharegpt(),
    "chat": _chat(),
    "video-llava": _video_llava(),
    "parquet": _parquet(),
    "retrieval": _retrieval(),
    "clip": _clip(),
    "openai": _openai(),
    "preference": _preference(),
}

"""Valid archives of each kind and format, and what accidents and attacks make of them, by a seed."""

import base64
import itertools
import json
import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from tests.support import archives

# What a byte or a word is replaced by: edges of numbers, and what means something to a parser.
_INTERESTING = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"0" * 12,
    b"\xff" * 8,
    b"\n",
    b'"',
    b"\\",
    b"../",
    b"{",
    b"]",
)
_JSON_EDITS: tuple[tuple[bytes, bytes], ...] = (
    (b'"', b""), (b":", b","), (b"{", b"["), (b"}", b""), (b'"value"', b'"valeu"'),
    (b"<image>", b"<image><image>"),
    (b"img/", b"/img/"), (b"img/", b"../"), (b"human", b"gpt"), (b"gpt", b"robot"), (b'"', b'"\\u0000'),
    (b'"', b'"\xff'), (b"[", b"[" * 200), (b": ", b": 1e999, "), (b": ", b": " + b"9" * 50 + b', "x": '),
    (b'"text"', b'"txet"'), (b"base64", b"base46"), (b"base64,", b"base64,AAAA"), (b"role", b"rule"),
    (b"user", b"tool"), (b"image_url", b"video_url"), (b",", b"\t"), (b'"', b'""'), (b"null", b"[[]]"),
    (b"\n", b"\n\n\n"), (b"\n", b""), (b".", b"\\ud800"), (b'"id"', b'"id": 1, "id"'), (b"0000", b"0001"),
)  # fmt: skip


@cache
def datasets() -> Mapping[str, archives.Files]:
    """A small dataset without a problem for every reader of records; the file of records is the first."""
    pictures = {f"{n}.{format_.lower()}": archives.picture(n, format_) for n, format_ in enumerate(
        ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"))}  # fmt: skip
    few = {name: pictures[name] for name in ("0.jpeg", "1.png")}
    captions = [{"file_name": name, "text": f"It is {name}."} for name in pictures]
    table = "".join(f'{name},"A, {name}"\n' for name in pictures)
    good = archives.good(2)
    answer = {"role": "assistant", "content": "One."}
    image = {"type": "image", "image": "0.jpeg"}
    turns = [{"from": "human", "value": "<image>What?"}, {"from": "gpt", "value": "One."}]
    url = "data:image/png;base64," + base64.b64encode(pictures["1.png"]).decode()
    asked = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What?"}]
    rows = [_row(n, data) for n, data in enumerate(few.values())]
    return {
        "llava": archives.good(3),
        "array": {"train.json": b"[" + b",".join(good.pop("train.jsonl").splitlines()) + b"]", **good},
        "captions": {"metadata.jsonl": archives.jsonl(*captions), **pictures},
        "csv": {"metadata.csv": b"file_name,text\n" + table.encode(), **pictures},
        "qwen2-vl": {
            "train.jsonl": archives.jsonl(
                {"messages": [{"role": "user", "content": [image, {"type": "text", "text": "?"}]}, answer]},
                {"messages": [{"role": "user", "content": "<image>?"}, answer], "images": ["1.png"]},
            ),
            **few,
        },
        "sharegpt": {
            "data.json": json.dumps(
                [
                    {"conversations": turns, "images": ["0.jpeg"]},
                    {"query": "<image>?", "response": "R", "images": ["1.png"], "history": [["h", "i"]]},
                ]
            ).encode(),
            **few,
        },
        "clip": {"train.csv": b"filepath,title\n" + table.encode(), **pictures},
        "webdataset": {"0000.txt": b"Zero.", "0000.jpg": good["img/0000.jpg"]}
        | {"0001.json": b'{"caption": "One.", "key": "0001"}', "0001.jpg": good["img/0001.jpg"]},
        "retrieval": {
            "train.jsonl": archives.jsonl(
                {"query": "Which?", "pos_target": "0.jpeg", "neg_target": "1.png"},
                {"query": "What?", "image": ["1.png"], "negatives": ["0.jpeg"]},
            ),
            **few,
        },
        "openai": {"train.jsonl": archives.jsonl({"messages": [{"role": "user", "content": asked}, answer]})},
        "chat": {
            "data.jsonl": archives.jsonl(
                {"messages": [{"role": "user", "content": "Hi"}, answer]}, {"instruction": "I", "output": "O"}
            )
        },
        "parquet": {"data/train-00000-of-00001.parquet": archives.parquet(rows)},
    }


def _row(number: int, image: bytes) -> Mapping[str, Any]:
    said = [{"type": "image", "text": None}, {"type": "text", "text": "What?"}]
    answer = [{"type": "text", "text": "One."}]
    messages = [{"role": "user", "content": said}, {"role": "assistant", "content": answer}]
    return {"id": f"r{number}", "images": [{"bytes": image, "path": None}], "messages": messages}


@cache
def valid() -> Mapping[str, bytes]:
    """The datasets as archives, by a name that ends as their archive would: the first as each kind."""
    kinds = itertools.cycle(archives.PACKERS)
    named = [f"{name}.{kind}" for name in ("llava", "array", "captions", "csv") for kind in archives.PACKERS]
    named += [f"{name}.{next(kinds)}" for name in [*datasets()][4:]]
    return {name: archives.pack(datasets()[name.partition(".")[0]], name) for name in named}


def mutated(seed: int) -> tuple[str, bytes]:
    """A file name and what is left of its archive. The same for the same seed."""
    draw = random.Random(seed)
    name = draw.choice(sorted(valid()))
    data = bytearray(valid()[name])
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        draw.choice(_MUTATIONS)(data, draw)
    return name, bytes(data)


def _flip(data: bytearray, draw: random.Random) -> None:
    if data:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _overwrite(data: bytearray, draw: random.Random) -> None:
    at, value = draw.randrange(len(data) + 1), draw.choice(_INTERESTING)
    data[at : at + len(value)] = value


def _truncate(data: bytearray, draw: random.Random) -> None:
    del data[draw.randrange(len(data) + 1) :]


def _cut_out(data: bytearray, draw: random.Random) -> None:
    at = draw.randrange(len(data) + 1)
    del data[at : at + draw.choice((1, 3, 512, 2_000))]


def _repeat(data: bytearray, draw: random.Random) -> None:
    at, length = draw.randrange(len(data) + 1), draw.choice((1, 30, 512, 1_536))
    data[at:at] = data[at : at + length] * draw.choice((1, 2, 5))


def _splice(data: bytearray, draw: random.Random) -> None:
    """The end of another archive behind the begin of this one."""
    other = valid()[draw.choice(sorted(valid()))]
    data[draw.randrange(len(data) + 1) :] = other[draw.randrange(len(other)) :]


def _header(data: bytearray, draw: random.Random) -> None:
    """A change within a tar header, with a checksum that fits, or near a signature of a zip."""
    signatures = [at for at in range(0, len(data) - 512, 512) if data[at + 257 : at + 262] == b"ustar"]
    if signatures:
        at = draw.choice(signatures)
        data[at + draw.randrange(345)] = draw.randrange(256)
        data[at + 148 : at + 156] = b"%06o\0 " % (
            sum(data[at : at + 148]) + 256 + sum(data[at + 156 : at + 512])
        )
    elif (at := data.find(b"PK", draw.randrange(len(data) + 1))) >= 0:
        at = min(at + draw.randrange(46), len(data) - 1)
        data[at] = draw.randrange(256)


def _edit_json(data: bytearray, draw: random.Random) -> None:
    """An edit of a record that stays in its place: what is longer goes over what follows."""
    old, new = draw.choice(_JSON_EDITS)
    if (at := data.find(old, draw.randrange(len(data) + 1))) >= 0:
        data[at : at + max(len(old), len(new))] = new.ljust(len(old))


_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip, _overwrite, _truncate, _cut_out, _repeat, _splice, _header, _edit_json, _edit_json,
)  # fmt: skip


def mutated_records(seed: int) -> bytes:
    """A tar of a dataset whose file of records went through several edits."""
    draw = random.Random(seed)
    files = dict(datasets()[draw.choice([*datasets()])])
    records = next(iter(files))
    data = bytearray(files[records])
    for _ in range(draw.choice((1, 2, 5))):
        draw.choice((_flip, _overwrite, _cut_out, _repeat, _edit_json, _edit_json, _edit_json))(data, draw)
    return archives.tar(files | {records: bytes(data)})

"""Valid archives of each kind and format, and what accidents and attacks make of them, by a seed."""

import random
from collections.abc import Callable, Mapping
from functools import cache

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
    (b'"', b""), (b":", b","), (b"{", b"["), (b"}", b""), (b'"value"', b'"valeu"'), (b"<image>", b"<image><image>"),
    (b"img/", b"/img/"), (b"img/", b"../"), (b"human", b"gpt"), (b"gpt", b"robot"), (b'"', b'"\\u0000'),
    (b'"', b'"\xff'), (b"[", b"[" * 200), (b": ", b": 1e999, "), (b": ", b": " + b"9" * 50 + b', "x": '),
    (b"\n", b"\n\n\n"), (b"\n", b""), (b".", b"\\ud800"), (b'"id"', b'"id": 1, "id"'), (b"0000", b"0001"),
)  # fmt: skip


@cache
def valid() -> Mapping[str, bytes]:
    """Small datasets without a problem, by a name that says their format and ends as their archive would."""
    pictures = {f"{n}.{format_.lower()}": archives.picture(n, format_) for n, format_ in enumerate(
        ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"))}  # fmt: skip
    captions = [{"file_name": name, "text": f"It is {name}."} for name in pictures]
    csv = "file_name,text\n" + "".join(f'{name},"A, {name}"\n' for name in pictures)
    datasets = {
        "llava": archives.good(3),
        "array": {"train.json": b"[" + b",".join(archives.good(2)["train.jsonl"].splitlines()) + b"]"}
        | {name: data for name, data in archives.good(2).items() if name.startswith("img/")},
        "captions": {"metadata.jsonl": archives.jsonl(*captions), **pictures},
        "csv": {"metadata.csv": csv.encode(), **pictures},
    }
    return {
        f"{name}.{kind}": pack(files)
        for name, files in datasets.items()
        for kind, pack in archives.PACKERS.items()
    }


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
    """A llava file of records after several edits of its text."""
    draw = random.Random(seed)
    data = bytearray(archives.good(3)["train.jsonl"])
    for _ in range(draw.choice((1, 2, 5))):
        draw.choice((_flip, _overwrite, _cut_out, _repeat, _edit_json, _edit_json, _edit_json))(data, draw)
    return bytes(data)

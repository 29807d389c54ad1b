"""What a training's examples are to its model, encoded by the code that trains; see preview.proto."""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import try_to_load_from_cache
from visiontune.trainer.v1 import trainer_pb2
from visiontune.worker.v1 import preview_pb2 as pb
from visiontune_data import pictures
from visiontune_recipes.objectives import objective_of
from visiontune_recipes.spec import Base, Batching, Spec

from visiontune_worker import augment, build, checkpoints, claim, data, objectives
from visiontune_worker.build import Built, Layer, Sources
from visiontune_worker.claim import Manifest, ModelLayer
from visiontune_worker.faults import DataFault, EnvironmentFault
from visiontune_worker.objectives.objective import Change, Encoded, ModelInput, Objective, too_long
from visiontune_worker.order import Order
from visiontune_worker.ranged import RangedShards
from visiontune_worker.shards import Example
from visiontune_worker.sights import sights
from visiontune_worker.spans import Kind, picture_ids, spans
from visiontune_worker.transfer import Transfer

# How long an object store is waited for: somebody looks at the screen.
_PATIENCE_S = 5.0
_MOST_KEPT = 2
_Input = trainer_pb2.ModelInput
_Span = _Input.Span


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator lets models be made of. downloads: from the Hub; else only what is here already."""

    roots: tuple[Path, ...] = ()
    trusted: frozenset[str] = frozenset()
    downloads: bool = False


class Examples:
    """Shows examples. Presets asked for last are kept: their tokenizers learn from all texts."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._kept: OrderedDict[str, Built] = OrderedDict()

    def show(
        self, request: pb.PreviewExamplesRequest, wanted: Callable[[], bool] = lambda: True
    ) -> trainer_pb2.PreviewTrainingExamplesResponse:
        """Faults say why nothing can be shown. Stops early when nobody waits for the answer any more."""
        spec, manifest = claim.spec_from(request.spec), claim.manifest_from(request.manifest)
        with closing(Transfer(patience_s=_PATIENCE_S)) as transfer:
            shards = RangedShards(manifest, transfer)
            built = self._built(request, spec, manifest, shards, transfer)
            build.refuse_other_kinds(built, manifest.facts)
            objective = objectives.of(built, spec)
            objective.checks_length = False
            answer = trainer_pb2.PreviewTrainingExamplesResponse(
                family=built.family.name,
                objective=objective_of(spec, built.family).name,
                max_length=objective.longest,
            )
            change = data.change_in(0, augment.of(spec, manifest.facts))
            fitting: list[Encoded] = []
            for example in _chosen(request, spec, shards):
                if not wanted():
                    break
                shown, encoded = _shown(objective, built, example, change)
                answer.examples.append(shown)
                if encoded is not None and not shown.problem:
                    fitting.append(encoded)
        if spec.batching is Batching.PACKED and fitting:
            answer.packed_row.CopyFrom(_packed(objective, built, fitting))
        return answer

    def _built(
        self,
        request: pb.PreviewExamplesRequest,
        spec: Spec,
        manifest: Manifest,
        shards: RangedShards,
        transfer: Transfer,
    ) -> Built:
        layers = claim.layers_from(request.model_files)
        base = claim.base_from(request.adapter_base) if request.HasField("adapter_base") else None
        processor = claim.files_from(request.resume_from.files)
        key = json.dumps([manifest.digest, manifest.version, spec.base_model.preset])
        if not processor and key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        self._refuse_downloads(base or spec.base_model)
        with TemporaryDirectory() as scratch:
            folder = Path(scratch)
            resumed = checkpoints.download(processor, folder / "resume", transfer) if processor else None
            sources = Sources(
                roots=self._allowed.roots,
                trusted=self._allowed.trusted,
                layers=_fetched(layers, folder, transfer),
                adapter_base=base,
                processor=resumed / checkpoints.PROCESSOR if resumed else None,
                texts=shards.texts("train"),
            )
            built = build.outline(spec, sources)
        if spec.base_model.preset and not processor:
            self._kept[key] = built
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return built

    def _refuse_downloads(self, base: Base) -> None:
        hub = base.hub
        if hub is None or self._allowed.downloads:
            return
        if not isinstance(try_to_load_from_cache(hub.repo_id, "config.json", revision=hub.revision), str):
            raise EnvironmentFault(
                "PROCESSOR_NOT_HERE",
                f"The processor of {hub.repo_id} would have to be downloaded, which previews do not do here. "
                "Ask the operator to allow it (VISIONTUNE_PREVIEW_DOWNLOADS), or take a model from a folder.",
            )


def _fetched(layers: Sequence[ModelLayer], scratch: Path, transfer: Transfer) -> tuple[Layer, ...]:
    return tuple(
        Layer(each.name, each.is_adapter, checkpoints.download(each.files, scratch / str(number), transfer))
        for number, each in enumerate(layers)
    )


def _chosen(request: pb.PreviewExamplesRequest, spec: Spec, shards: RangedShards) -> Iterable[Example]:
    """The rows that were asked for, or what comes first in the order of the first epoch."""
    if request.rows:
        return (shards.row(row) for row in request.rows)
    numbers = spec.hyperparameters
    order = Order(shards.counts("train"), numbers.batch_size or 1, 1, numbers.seed or 0)
    places = order.epoch(0)[: request.count]
    return (shards.example("train", int(shard), int(nth)) for shard, nth in places)


def _shown(
    objective: Objective[Any, Any], built: Built, example: Example, change: Change | None
) -> tuple[trainer_pb2.ExamplePreview, Encoded | None]:
    message = trainer_pb2.ExamplePreview(example=example.name, id=example.id)
    try:
        [encoded] = objective.encode([example], change)
    except DataFault as fault:
        message.problem = fault.message
        return message, None
    encoded = objective.seen(encoded, 0)
    message.inputs.extend(_input(each, example, built, objective) for each in objective.model_inputs(encoded))
    most = max(each.token_count for each in message.inputs)
    if most > objective.longest:
        message.problem = too_long(example, most, objective.longest).message
    return message, encoded


def _input(
    shown: ModelInput, example: Example, built: Built, objective: Objective[Any, Any]
) -> trainer_pb2.ModelInput:
    ids = [] if shown.input_ids is None else shown.input_ids.tolist()
    trained = [False] * len(ids) if shown.trained is None else shown.trained.tolist()
    message = _of_tokens(shown.kind, ids, trained, built, objective.longest)
    message.pictures.extend(_pictures(shown, example, built))
    return message


def _of_tokens(
    kind: str,
    ids: Sequence[int],
    trained: Sequence[bool],
    built: Built,
    longest: int,
    starts: Sequence[int] = (),
) -> trainer_pb2.ModelInput:
    """An input but for its pictures. longest: tokens that may be there."""
    seen = picture_ids(built.model.config)
    found = spans(ids, trained, seen, lambda some: _text(built, some), starts)
    past = slice(longest, None)
    return _Input(
        kind=_Input.Kind.Value(f"KIND_{kind}"),
        spans=[
            _Span(
                kind=_Span.Kind.Value(f"KIND_{each.kind}"),
                text=each.text,
                token_count=each.token_count,
                token_ids=each.ids,
            )
            for each in found
        ],
        token_count=len(ids),
        image_token_count=sum(each.token_count for each in found if each.kind is Kind.IMAGE),
        trained_token_count=sum(trained),
        excess_token_count=len(ids[past]),
        excess_image_token_count=sum(each in seen for each in ids[past]),
        excess_trained_token_count=sum(trained[past]),
    )


def _text(built: Built, ids: Sequence[int]) -> str:
    text: str = built.tokenizer.decode(
        list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return text


def _pictures(shown: ModelInput, example: Example, built: Built) -> Iterable[trainer_pb2.ModelInput.Picture]:
    images = [*example.images, *example.negatives]
    chosen = range(len(images))[shown.pictures]
    frames = {first + place for first, count in example.videos.items() for place in range(1, count)}
    units = [place for place in chosen if place not in frames]
    patch_px = getattr(getattr(built.processor, "image_processor", None), "patch_size", 0)
    seen = sights(shown.vision, [place in example.videos for place in units], patch_px)
    for place, sight in zip(units, seen, strict=True):
        width, height = pictures.read(images[place]).size
        yield _Input.Picture(
            path=example.image_paths[place],
            width_px=width,
            height_px=height,
            seen_width_px=sight.width_px,
            seen_height_px=sight.height_px,
            tile_count=sight.tile_count,
            frame_count=sight.frame_count,
        )


def _packed(
    objective: Objective[Any, Any], built: Built, examples: Sequence[Encoded]
) -> trainer_pb2.ModelInput:
    """The row of a packed batch; max_length is of each example in it."""
    batch = objective.collate(examples)
    ids = batch.inputs["input_ids"][0].tolist()
    starts = [sum(each.length for each in examples[:number]) for number in range(len(examples))]
    return _of_tokens("PACKED", ids, batch.trained[0].tolist(), built, len(ids), starts)

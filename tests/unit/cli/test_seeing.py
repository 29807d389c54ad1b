"""What `visiontune train --preview` asks for and prints; a scripted gateway stands at the process border."""

import json
from typing import Any

from typer.testing import CliRunner, Result
from visiontune.cli import app

from tests.support.scripted_http import Answer, Seen, as_json, scripted

VERSION = "projects/p/datasets/d/versions/v1"


def span(kind: str, text: str, *ids: int, count: int = 0) -> dict[str, Any]:
    return {"kind": f"KIND_{kind}", "text": text, "tokenCount": count or len(ids), "tokenIds": list(ids)}


CONVERSATION = {
    "kind": "KIND_CONVERSATION",
    "spans": [
        span("IMAGE", "<image>", 3, count=576),
        span("READ", "\n[b]What?[/b]\n", 7, 8),
        span("TRAINED", "seven</s>", 9, 2),
    ],
    "tokenCount": 580,
    "imageTokenCount": 576,
    "trainedTokenCount": 2,
    "excessTokenCount": 68,
    "excessImageTokenCount": 64,
    "excessTrainedTokenCount": 2,
    "pictures": [
        {
            "path": "a/7.png",
            "widthPx": 640,
            "heightPx": 480,
            "seenWidthPx": 336,
            "seenHeightPx": 336,
            "tileCount": 5,
        }
    ],
}
ANSWER = {
    "family": "llava_next",
    "objective": "causal_lm",
    "maxLength": 512,
    "examples": [
        {
            "example": f"{VERSION}/examples/7",
            "id": "seven",
            "inputs": [CONVERSATION],
            "problem": "Example 'seven' has 580 tokens.",
        }
    ],
}


def preview(*arguments: str) -> tuple[Result, list[Seen]]:
    def gateway(seen: Seen) -> Answer:
        return as_json(ANSWER if seen.path.endswith(":previewExamples") else {})

    with scripted(gateway) as server:
        connection = ("--server", server.url, "--api-key", "k", "--project", "p")
        job = ("train", "-d", "d/v1", "-m", "presets/tiny-llava", "--preview")
        result = CliRunner().invoke(app, [*job, *arguments, *connection], catch_exceptions=False)
    return result, server.seen


def test_the_prompt_is_printed_with_pictures_folded_and_what_is_trained_on_marked() -> None:
    result, seen = preview("--preview-count", "2", "--batching", "packed")
    assert result.exit_code == 0, result.output
    assert [each.path for each in seen] == ["/v1/projects/p/trainingJobs:previewExamples"]
    spec = {
        "dataset_version": VERSION,
        "base_model": {"preset": "tiny-llava"},
        "loading": {"batching": "BATCHING_PACKED"},
    }
    assert seen[0].json == {"training_job": {"spec": spec}, "count": 2}
    assert "llava_next, causal_lm; at most 512 tokens." in result.output
    assert "<image>×576\n[b]What?[/b]\n⟦seven</s>⟧" in result.output
    assert "580 tokens; 576 of images; 2 trained on; 68 too many, 64 of them of images, 2 of" in result.output
    assert "a/7.png of 640×480 px seen in 5 tiles of 336×336" in result.output
    assert "Not trained on: Example 'seven' has 580 tokens." in result.output


def test_rows_are_asked_for_and_json_is_the_answer_itself() -> None:
    result, seen = preview("--preview-row", "7", "--preview-row", "3", "-o", "json")
    assert result.exit_code == 0, result.output
    assert seen[0].json["rows"] == ["7", "3"]
    assert json.loads(result.stdout) == ANSWER

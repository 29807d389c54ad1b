"""Pushes a folder to the Hugging Face Hub, from this machine: by huggingface_hub and its own token."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from visiontune.cli.failures import Failed

REFUSED = {401, 403}
EXISTS = 409


@dataclass(frozen=True, slots=True)
class Target:
    """A repository on the Hub."""

    repo_id: str
    is_public: bool = False
    may_exist: bool = False

    def check(self) -> None:
        """Raises Failed without the library, a token or a whole name: before anything is downloaded."""
        owner, _, name = self.repo_id.partition("/")
        if not owner or not name or "/" in name:
            raise Failed(f'"{self.repo_id}" is no name of a repository.', "Write OWNER/NAME.")
        try:
            import huggingface_hub
        except ImportError as error:
            raise Failed(
                "Pushing needs the package huggingface_hub.", "Install it: pip install 'visiontune[hub]'"
            ) from error
        if not huggingface_hub.get_token():
            raise Failed(
                "No token of the Hub is known.",
                "Make one that may write, then set HF_TOKEN or run: hf auth login",
            )

    def push(self, folder: Path, message: str) -> str:
        """Uploads all files; returns where they are. What is there already is not sent again."""
        from huggingface_hub import HfApi

        hub = HfApi(library_name="visiontune")
        with self._explained():
            made = hub.create_repo(self.repo_id, private=not self.is_public, exist_ok=self.may_exist)
            hub.upload_folder(repo_id=self.repo_id, folder_path=folder, commit_message=message)
        return str(made)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Says what the library's errors mean. Raises Failed."""
        # The last is of the library's own HTTP client, and has no other public name.
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError  # type: ignore[attr-defined]

        again = f"Push again with --existing: what arrived in {self.repo_id} is not sent twice."
        try:
            yield
        except HFValidationError as error:
            raise Failed(str(error)) from error
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status in REFUSED:
                raise Failed(
                    f"The Hub refused the token: it may not write to {self.repo_id}.",
                    "Take a token with the right to write there, and check the owner's name.",
                ) from error
            if status == EXISTS:
                raise Failed(
                    f"{self.repo_id} exists already.",
                    "Choose another name, or push into it with --existing.",
                ) from error
            raise Failed(f"The Hub answered {status}.", again) from error
        except (HTTPError, OSError, RuntimeError) as error:
            raise Failed(f"The push broke off: {error}", again) from error

"""The client: one method a question that the API answers. Answers are the contracts' own messages."""

from visiontune.methods.drafts import Drafts
from visiontune.methods.storage import Storage
from visiontune.methods.training import Training


class Client(Storage, Drafts, Training):
    """Speaks to one server as one project.

    Names may be short (`digits`, `digits/v1`, a job's id) or full (`projects/…`). Every method raises
    errors.ApiFailure subclasses for what the server refuses and errors.Unreachable when there is none.
    A server that has answered, or is `known_to_run`, is waited for when it is away; `on_wait` then hears why.
    """

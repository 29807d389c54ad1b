"""Late interaction: every token of a query finds its best token in a document (ColBERT, arXiv:2004.12832).

Masks say what is a token, never ids or values: the pad tokens at the end of a ColQwen2 query are meant, and a
zero vector of padding would beat every token that is less like the query than not at all.
"""

import torch
from torch import Tensor
from torch.nn import functional

from visiontune_worker.objectives.contrastive_losses import row_loss

# As colpali-engine and its published models have it.
TEMPERATURE = 0.02
# Values of a table of likenesses at a time; the gradient needs none of them, only where the best were.
TABLE_VALUES = 64 * 1024 * 1024


def maxsim(queries: Tensor, query_mask: Tensor, documents: Tensor, document_mask: Tensor) -> Tensor:
    """The mean over a query's tokens of the best likeness in a document: float [queries, documents].

    queries: float [queries, longest, width]. documents: float [documents, longest, width]. All L2-normalised.
    Masks: bool [queries or documents, longest], True on tokens, of which each has one at least.
    """
    room = queries.shape[0] * queries.shape[1] * documents.shape[1]
    step = max(1, TABLE_VALUES // room)
    return torch.cat(
        [
            _summed(queries, query_mask, part, mask)
            for part, mask in zip(torch.split(documents, step), torch.split(document_mask, step), strict=True)
        ],
        dim=1,
    ) / query_mask.sum(dim=1, keepdim=True)


def _summed(queries: Tensor, query_mask: Tensor, documents: Tensor, document_mask: Tensor) -> Tensor:
    alike = torch.einsum("qid,cjd->qcij", queries, documents)
    best = alike.masked_fill(~document_mask[None, :, None, :], -torch.inf).max(dim=3).values
    return (best * query_mask[:, None, :]).sum(dim=2)


def in_batch_loss(scores: Tensor, known: Tensor) -> Tensor:
    """InfoNCE of each query against all documents of the step: a float scalar, the mean over the queries.

    scores: float [queries, queries], the right document of a query on the diagonal. known: bool of the same
    shape, True where document and query belong together; off the diagonal they are left out.
    colpali-engine calls it ColbertLoss; the paper (arXiv:2407.01449) takes only the hardest of the documents.
    """
    return row_loss(scores / TEMPERATURE, known)


def given_loss(right: Tensor, wrong: Tensor) -> Tensor:
    """Softplus of how far a given negative is ahead: a float scalar, the mean over the negatives.

    right, wrong: float [negatives], the scores of the right document of a negative's query, and its own.
    With the in-batch loss, half of each, colpali-engine calls it ColbertNegativeCELoss.
    """
    return functional.softplus((wrong - right) / TEMPERATURE).mean()

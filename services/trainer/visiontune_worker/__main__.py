"""`python -m visiontune_worker` runs the attempt that the environment names; its exit code says how."""

import os
import shutil
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Any

import structlog
from visiontune.worker.v1 import worker_pb2
from visiontune_kit import logs, telemetry
from visiontune_kit.settings import read

from visiontune_worker import joblog
from visiontune_worker.attempt import Attempt
from visiontune_worker.claim import CLAIM, MANIFEST, Claim
from visiontune_worker.control import Leader
from visiontune_worker.faults import Ending, Exit, Fault, PassingFault, Paused, Preempted, Stale
from visiontune_worker.interrupts import Interrupts
from visiontune_worker.reports import LONGEST_LINE
from visiontune_worker.settings import Settings

if TYPE_CHECKING:
    from visiontune_worker.ranks import Ranks

log = structlog.get_logger(__name__)
# A machine that wants to be rid of us does not wait longer.
HURRY_S = 5.0


def main() -> int:
    """Runs one attempt."""
    settings = read(Settings)
    logs.configure("worker", level=settings.log_level, format=settings.log_format)
    telemetry.configure("worker", otlp_endpoint=settings.otlp_endpoint)
    structlog.contextvars.bind_contextvars(attempt=settings.attempt)
    if settings.ranks > 1:
        structlog.contextvars.bind_contextvars(rank=settings.rank)
    # Before torch loads: threads that spin while they wait take the core from those that work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    interrupts = Interrupts()
    interrupts.listen_to_signals()
    try:
        return run_attempt(settings, interrupts)
    finally:
        telemetry.shutdown()


def run_attempt(settings: Settings, interrupts: Interrupts) -> Exit:
    """Runs one attempt, or a rank of it, and tells the trainer how it ended. Leaves nothing on the disk."""
    parent = telemetry.extract({"traceparent": settings.traceparent})
    try:
        with telemetry.tracer().start_as_current_span("worker.attempt", context=parent) as span:
            span.set_attribute("visiontune.attempt", settings.attempt)
            if settings.rank > 0:
                return _follow(settings, interrupts)
            with _attempt(settings, interrupts) as attempt, joblog.forwarding(attempt.outbox.log):
                return _lead(attempt, settings, interrupts)
    finally:
        _clear(settings)


def _clear(settings: Settings) -> None:
    shutil.rmtree(settings.own_scratch_dir, ignore_errors=True)
    with suppress(OSError):  # another rank still has its part there
        settings.scratch_dir.rmdir()


def _attempt(settings: Settings, interrupts: Interrupts) -> Attempt:
    return Attempt(
        target=settings.trainer_target,
        name=settings.attempt,
        token=settings.token.get_secret_value(),
        pod_token_file=settings.pod_token_file,
        worker_id=str(uuid.uuid4()),
        interrupts=interrupts,
        patience_s=settings.patience_s,
        tls=settings.client_tls,
    )


def _lead(attempt: Attempt, settings: Settings, interrupts: Interrupts) -> Exit:
    """The one process of an attempt, or rank 0 of several."""
    with ExitStack() as stack:
        leader = None
        try:
            ranks = None
            if settings.ranks > 1:
                leader = stack.enter_context(closing(_leader(attempt, settings, interrupts)))
                # Before the claim, so that the others hear of it when there is nothing to claim.
                from visiontune_worker.ranks import announce  # noqa: PLC0415

                ranks = announce(leader, settings.ranks)
            claim = attempt.claim()
            log.info("attempt_claimed", spec_digest=claim.spec_digest, resume_step=claim.resume_step)
            attempt.outbox.progress(step=claim.resume_step, total_steps=0, epoch=0.0, phase="loading")
            if leader is not None:
                _share_claim(leader, claim, settings, interrupts)
            # Seconds of work: not before the trainer knows that we live.
            from visiontune_worker.run import run  # noqa: PLC0415

            run(attempt, claim, settings, interrupts, renew=attempt.renew_manifest, ranks=ranks)
        except Ending as ending:
            return _end(attempt, leader.conclude(ending) if leader else ending)
        except Exception as error:
            log.exception("worker_crashed")
            # Of a long one the end: what failed, rather than what called it.
            attempt.outbox.log("error", traceback.format_exc()[-LONGEST_LINE:])
            crash = _crash(error)
            return _end(attempt, leader.conclude(crash, crashed=True) if leader else crash)
        log.info("attempt_succeeded")
        return Exit.DONE


def _leader(attempt: Attempt, settings: Settings, interrupts: Interrupts) -> Leader:
    def on_stuck(ending: Ending) -> None:
        exit_code = _end(attempt, ending)
        _clear(settings)
        os._exit(exit_code)

    return Leader(
        settings.ranks,
        everywhere=settings.ranks > settings.local_ranks,
        interrupts=interrupts,
        renew=lambda: MANIFEST.dump_python(attempt.renew_manifest(), mode="json"),
        on_stuck=on_stuck,
    )


def _share_claim(leader: Leader, claim: Claim, settings: Settings, interrupts: Interrupts) -> None:
    """Waits for the other ranks. PassingFault names those that do not come."""
    deadline = time.monotonic() + settings.patience_s

    def check() -> None:
        interrupts.check()
        if time.monotonic() > deadline and leader.missing():
            missing = ", ".join(map(str, leader.missing()))
            raise PassingFault(
                "RANK_MISSING",
                f"Of {settings.ranks} ranks these did not come within {settings.patience_s:.0f} s: "
                f"{missing}. Look at their pods or logs.",
            )

    leader.exchange(CLAIM.dump_python(claim, mode="json"), check)


def _follow(settings: Settings, interrupts: Interrupts) -> Exit:
    """Any rank but the first: it trains along, and rank 0 speaks for it."""

    def on_stuck(ending: Ending) -> None:
        exit_code = _left(ending)
        _clear(settings)
        os._exit(exit_code)

    from visiontune_worker.ranks import find  # noqa: PLC0415 - torch loads while rank 0 claims

    try:
        follower, ranks = find(
            settings.rank,
            settings.ranks,
            settings.master_addr,
            patience_s=settings.patience_s,
            interrupts=interrupts,
            on_stuck=on_stuck,
        )
    except Ending as ending:
        return _left(ending)
    with closing(follower):
        try:
            _train_along(ranks, follower.renew, settings, interrupts)
        except Ending as ending:
            return _left(follower.conclude(ending, agreed=ending is ranks.agreed))
        except Exception as error:
            log.exception("rank_crashed")
            return _left(follower.conclude(_crash(error), crashed=True))
        follower.leave()
    log.info("rank_done")
    return Exit.DONE


def _train_along(
    ranks: "Ranks", renew: Callable[[], Any], settings: Settings, interrupts: Interrupts
) -> None:
    from visiontune_worker.run import run  # noqa: PLC0415

    claim = CLAIM.validate_python(ranks.exchange(None, interrupts.check)[0])
    run(
        None,
        claim,
        settings,
        interrupts,
        renew=lambda: MANIFEST.validate_python(renew()),
        ranks=ranks,
    )


def _left(ending: Ending) -> Exit:
    """Another rank than 0 ends; the trainer hears of it from rank 0."""
    log.info("rank_ended", kind=type(ending).__name__, error=str(ending))
    return ending.exit_code


def _crash(error: Exception) -> PassingFault:
    return PassingFault("WORKER_CRASHED", f"{type(error).__name__}: {error}")


OUTCOMES: Mapping[Exit, worker_pb2.Outcome.ValueType] = {
    Exit.CONFIGURATION: worker_pb2.OUTCOME_FAILED,
    Exit.DATA: worker_pb2.OUTCOME_FAILED,
    Exit.ENVIRONMENT: worker_pb2.OUTCOME_FAILED,
    Exit.RETRY: worker_pb2.OUTCOME_RETRY,
    Exit.DONE: worker_pb2.OUTCOME_CANCELLED,
}


def _end(attempt: Attempt, ending: Ending) -> Exit:
    """Tells the trainer how it ended, unless it does not want to hear it."""
    log.info("attempt_ended", kind=type(ending).__name__, error=str(ending))
    if isinstance(ending, Stale):
        return ending.exit_code
    reason = ending.reason if isinstance(ending, Fault) else type(ending).__name__.upper()
    if isinstance(ending, Fault):
        attempt.outbox.log("error", ending.message)
    paused = isinstance(ending, Paused)
    try:
        attempt.end(
            worker_pb2.OUTCOME_PAUSED if paused else OUTCOMES[ending.exit_code],
            reason=reason,
            message=str(ending),
            patience_s=HURRY_S if isinstance(ending, Preempted) else None,
        )
    except Ending as again:
        log.warning("ending_not_told", error=str(again))
        return again.exit_code if isinstance(again, Stale) else ending.exit_code
    return ending.exit_code


if __name__ == "__main__":
    sys.exit(main())

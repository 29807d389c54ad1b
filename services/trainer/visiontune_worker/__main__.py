"""`python -m visiontune_worker` runs the attempt that the environment names; its exit code says how."""

import os
import shutil
import sys
import uuid
from collections.abc import Mapping

import structlog
from pydantic import ValidationError
from visiontune.worker.v1 import worker_pb2
from visiontune_kit import logs, telemetry

from visiontune_worker.attempt import Attempt
from visiontune_worker.faults import Ending, Exit, Fault, PassingFault, Preempted, Stale
from visiontune_worker.interrupts import Interrupts
from visiontune_worker.settings import Settings

log = structlog.get_logger(__name__)
# A machine that wants to be rid of us does not wait longer.
HURRY_S = 5.0


def main() -> int:
    """Runs one attempt."""
    try:
        settings = Settings()
    except ValidationError as error:
        sys.stderr.write(f"The worker's environment is incomplete:\n{error}\n")
        return Exit.ENVIRONMENT
    logs.configure("worker", level=settings.log_level, format=settings.log_format)
    telemetry.configure("worker", otlp_endpoint=settings.otlp_endpoint)
    structlog.contextvars.bind_contextvars(attempt=settings.attempt)
    # Before torch loads: threads that spin while they wait take the core from those that work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    interrupts = Interrupts()
    interrupts.listen_to_signals()
    try:
        return run_attempt(settings, interrupts)
    finally:
        telemetry.shutdown()


def run_attempt(settings: Settings, interrupts: Interrupts) -> Exit:
    """Runs one attempt and tells the trainer how it ended. Leaves nothing on the scratch disk."""
    parent = telemetry.extract({"traceparent": settings.traceparent})
    try:
        with (
            telemetry.tracer().start_as_current_span("worker.attempt", context=parent) as span,
            _attempt(settings, interrupts) as attempt,
        ):
            span.set_attribute("visiontune.attempt", settings.attempt)
            return _run(attempt, settings, interrupts)
    finally:
        shutil.rmtree(settings.scratch_dir, ignore_errors=True)


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


def _run(attempt: Attempt, settings: Settings, interrupts: Interrupts) -> Exit:
    try:
        claim = attempt.claim()
        log.info("attempt_claimed", spec_digest=claim.spec_digest, resume_step=claim.resume_step)
        attempt.outbox.progress(step=claim.resume_step, total_steps=0, epoch=0.0, phase="loading")
        # Seconds of work: not before the trainer knows that we live.
        from visiontune_worker.run import run  # noqa: PLC0415

        run(attempt, claim, settings, interrupts)
    except Ending as ending:
        return _end(attempt, ending)
    except Exception as error:
        log.exception("worker_crashed")
        return _end(attempt, PassingFault("WORKER_CRASHED", f"{type(error).__name__}: {error}"))
    log.info("attempt_succeeded")
    return Exit.DONE


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
    try:
        attempt.end(
            OUTCOMES[ending.exit_code],
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

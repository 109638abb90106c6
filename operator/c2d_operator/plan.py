"""The plan: from what is recorded and what is seen to what is recorded and done next.

Pure. What is recorded decides where a job is; what is seen decides what to record. Conditions are
written before anything is deleted because of them, so a crash at any line repeats a step at most.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from c2d_operator import admission, offers
from c2d_operator import status as st
from c2d_operator.phases import algorithm, cleanup, loading, publishing, volumes
from c2d_operator.steps import Facts, Step, ask_why, earliest

_PHASES: Mapping[str, Callable[[Facts], Step]] = {
    st.ADMITTED: admission.advance,
    st.VOLUMES_READY: volumes.advance,
    st.ASSETS_LOADED: loading.advance,
    st.ALGORITHM_COMPLETED: algorithm.advance,
    st.RESULTS_PUBLISHED: publishing.advance,
    st.CLEANED_UP: cleanup.advance,
}
_STOPPED_AT_ONCE = frozenset({st.ADMITTED, st.VOLUMES_READY, st.ASSETS_LOADED})


def plan(facts: Facts) -> Step:
    """Decide what a job needs next."""
    job = facts.job
    if job.deleting:
        return cleanup.abandon(facts)
    if st.is_finished(job.status):
        return cleanup.after_end(facts)
    questions = offers.questions(facts)
    if questions:
        return Step(job.status, questions)
    if not job.status.conditions:
        facts = facts.with_status(st.begin(job, facts.now))
    stage = st.stage(facts.status) or st.CLEANED_UP
    if job.spec.stop and stage in _STOPPED_AT_ONCE:
        step = algorithm.stop(facts)
    else:
        step = _with_questions(facts, _PHASES[stage](facts))
    return replace(step, status=replace(step.status, observed_generation=job.generation))


def _with_questions(facts: Facts, step: Step) -> Step:
    """Ask after children that do not get ready, as long as the job waits for them."""
    if st.stage(step.status) != st.stage(facts.status):
        return step
    questions, wake = ask_why(facts)
    return replace(step, actions=(*step.actions, *questions), wake=earliest(step.wake, wake))

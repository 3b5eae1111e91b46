"""Every bound of the client and its worker is crossed by the test that stands here beside it. One
that is new needs a line here, and so a test."""

import ast
from pathlib import Path

import pytest
from workq_client import limits

HERE = Path(__file__).parent

#: By test, below `tests/client/`, the bounds that it crosses.
CROSSED_BY = {
    "test_defaults.py::test_a_call_that_gets_no_answer_ends_in_time": "TIMEOUT_S",
    "test_defaults.py::test_an_attempt_to_connect_ends_in_time": "CONNECT_TIMEOUT_S",
    "test_defaults.py::test_a_client_has_so_many_connections_for_calls_that_are_answered_at_once": (
        "CONNECTIONS_MAX"
    ),
    "test_defaults.py::test_a_client_has_so_many_connections_for_calls_that_wait": "WAITS_MAX",
    "test_core.py::test_a_wait_ends_a_second_after_the_servers": "GRACE_S",
    "test_core.py::test_pauses_grow_to_a_second_and_are_shortened_by_chance": (
        "PAUSE_FIRST_S PAUSE_MAX_S"
    ),
    "test_values.py::test_what_is_longer_than_the_servers_time_is_refused": "DURATION_MS_MAX",
    "test_values.py::test_an_error_shows_so_much_of_an_argument": "ARGUMENT_CHARACTERS_MAX",
    "test_blocking.py::test_a_wait_lasts_as_long_as_it_was_given_and_no_longer": "ONE_WAIT_S_MAX",
    "test_blocking.py::test_so_much_is_read_at_once": "READ_BYTES",
    "test_client.py::test_a_flood_that_nobody_asked_for_is_not_read_for_ever": "UNREAD_BYTES_MAX",
    "test_pipelines.py::test_so_many_requests_are_on_their_way": "WINDOW_REQUESTS_MAX",
    "test_pipelines.py::test_so_many_bytes_are_on_their_way_before_one_more_request": (
        "WINDOW_BYTES_MAX"
    ),
    "test_pipelines.py::test_what_there_is_is_sent_when_gathering_has_taken_so_long": (
        "GATHERING_S_MAX"
    ),
    "test_many.py::test_jobs_that_are_added_are_counted_and_not_kept": "MANY_COUNTED",
    "test_many.py::test_so_many_errors_are_kept": "MANY_ERRORS_MAX",
    "test_answers.py::test_what_is_no_reply_is_told_at_once": (
        "REPLY_LINE_BYTES_MAX REPLY_BLOCK_BYTES_MAX REPLY_ENTRIES_MAX EXCERPT_BYTES_MAX"
    ),
    "test_core.py::test_an_error_shows_so_much_of_an_answer_to_something_else": (
        "ANSWER_CHARACTERS_MAX"
    ),
    "worker/test_leasing.py::test_so_many_handlers_run_at_a_time_unless_told_otherwise": (
        "CONCURRENCY"
    ),
    "worker/test_leasing.py::test_so_many_jobs_are_taken_ahead_however_fast_they_are": (
        "PREFETCH_MAX"
    ),
    "worker/test_leasing.py::test_so_many_jobs_are_taken_ahead_as_are_done_in_a_moment": (
        "PREFETCH_S"
    ),
    "worker/test_keeping.py::test_a_job_that_does_not_begin_is_given_back": "PREFETCHED_MAX_S",
    "worker/test_leasing.py::test_a_lease_waits_so_long_and_its_connection_may_be_silent_a_second_"
    "longer": "LEASE_WAIT_S",
    "worker/test_leasing.py::test_a_lease_is_for_so_many_jobs": "LEASE_COUNT_MAX",
    "worker/test_worker.py::test_what_cannot_work_is_refused_before_it_begins": (
        "LEASE_QUEUES_MAX CONCURRENCY_MAX"
    ),
    "worker/test_leasing.py::test_a_call_that_gets_no_answer_is_made_anew_on_another_connection": (
        "WORKER_TIMEOUT_S"
    ),
    "worker/test_leasing.py::test_a_worker_pauses_so_long_after_a_lease_that_failed": (
        "LEASE_PAUSE_S"
    ),
    "worker/test_keeping.py::test_a_renewal_that_failed_is_tried_again_soon": "RENEW_AGAIN_S",
    "worker/test_report.py::test_so_many_reports_are_sent_at_once": "REPORTS_AT_ONCE_MAX",
    "worker/test_leasing.py::test_so_many_results_may_wait_before_no_more_jobs_are_taken": (
        "REPORTS_WAITING_MAX"
    ),
    "worker/test_report.py::test_what_cannot_be_reported_is_tried_again_for_so_long": (
        "REPORT_PATIENCE_S REPORT_AGAIN_S"
    ),
    "worker/test_worker.py::test_an_exception_is_a_failure_with_a_short_text": (
        "FAILURE_CHARACTERS_MAX"
    ),
    "worker/test_worker.py::test_a_retry_after_no_time_is_a_failure_like_any_other": (
        "RETRY_AFTER_MAX_S"
    ),
    "worker/test_keeping.py::test_a_handler_that_was_interrupted_has_so_long_to_end": (
        "INTERRUPTED_S"
    ),
    "worker/test_leasing.py::test_what_takes_longer_is_given_back": "SHUTDOWN_S",
    "worker/test_leasing.py::test_a_worker_that_stops_tries_so_long_to_report": "LAST_REPORTS_S",
    "worker/test_leasing.py::test_a_handler_that_does_not_end_keeps_a_worker_that_stops_so_long": (
        "STOP_NOW_S"
    ),
    "worker/test_leasing.py::test_a_server_counts_as_reachable_so_long_after_its_last_answer": (
        "HEALTHY_S"
    ),
    "worker/test_leasing.py::test_a_worker_that_can_take_no_jobs_asks_now_and_then_whether_the_"
    "server_is_there": "HEALTH_S",
    "worker/test_health.py::test_a_request_may_be_so_long": "HEALTH_REQUEST_BYTES_MAX",
    "worker/test_health.py::test_who_asks_badly_is_no_harm": "HEALTH_REQUEST_S",
    "worker/test_health.py::test_so_many_may_ask_at_a_time": "HEALTH_REQUESTS_MAX",
    "worker/pools/test_threads.py::test_threads_that_do_not_end_do_not_keep_the_worker": (
        "THREAD_END_S"
    ),
    "worker/pools/test_tasks.py::test_a_task_that_does_not_let_itself_be_cancelled_is_left_soon": (
        "TASKS_END_S"
    ),
    "worker/pools/test_processes.py::test_a_child_that_does_not_end_is_killed": "CHILD_END_S",
    "worker/pools/test_processes.py::test_pauses_before_children_that_do_not_come_up_grow_to_the_"
    "longest": "CHILD_PAUSE_FIRST_S CHILD_PAUSE_MAX_S",
    "worker/test_signals.py::test_a_third_signal_kills_it_though_nobody_reads_its_log": "SAY_S",
    "worker/pools/test_processes.py::test_the_last_words_of_a_child_have_time_to_arrive": (
        "CHILD_LAST_WORDS_S"
    ),
}

#: Those that there is no crossing, each with the reason.
NOT_CROSSED = {
    "KEEP_S": "A rhythm: what is due is seen at the next look, as the tests of what is due allow.",
    "PACE_S": "A rhythm: the speed of a worker is measured anew, and nothing is refused by it.",
}


def test_every_bound_stands_here_once():
    """And nothing else."""
    here = " ".join([*CROSSED_BY.values(), *NOT_CROSSED]).split()
    assert sorted(here) == sorted(name for name in vars(limits) if name.isupper())


@pytest.mark.parametrize("place", CROSSED_BY)
def test_the_test_that_crosses_a_bound_is_there_and_speaks_of_it(place):
    """So that one that was renamed, or tests something else now, is noticed."""
    path, _, name = place.partition("::")
    text = (HERE / path).read_text("utf-8")
    for one in ast.parse(text).body:
        if isinstance(one, ast.FunctionDef) and one.name == name:
            first = min([one.lineno, *(decorator.lineno for decorator in one.decorator_list)])
            words = "\n".join(text.splitlines()[first - 1 : one.end_lineno])
            break
    else:
        pytest.fail(f"{path} has no {name}")
    for bound in CROSSED_BY[place].split():
        assert bound in words

"""Every bound of `workq.limits` that a client can come to is crossed over a socket, by the test
that stands here beside it. One that is new needs a line here, and so a test."""

import ast
from pathlib import Path

import pytest

from workq import limits

TESTS = Path(__file__).parents[1]

#: By test, below `tests/`, the bounds that it crosses.
CROSSED_BY = {
    "bounds/test_requests.py::test_a_line_may_be_as_long_as_it_may_be": "LINE_BYTES_MAX",
    "bounds/test_requests.py::test_a_line_of_too_many_words_is_not_looked_into": "LINE_WORDS_MAX",
    "bounds/test_requests.py::test_the_length_of_a_line_is_a_setting": "line_bytes_max",
    "bounds/test_requests.py::test_a_payload_may_be_as_large_as_it_may_be": "BLOCK_BYTES_MAX",
    "bounds/test_requests.py::test_a_refused_block_is_thrown_away_up_to_a_size": (
        "BLOCK_DISCARD_BYTES_MAX"
    ),
    "bounds/test_requests.py::test_a_number_may_have_so_many_digits": "NUMBER_DIGITS_MAX",
    "bounds/test_requests.py::test_another_protocol_stops_at_the_twentieth_unknown_command": (
        "UNKNOWN_COMMANDS_IN_A_ROW_MAX"
    ),
    "bounds/test_requests.py::test_a_lease_may_have_so_many_names": "LEASE_NAMES_MAX",
    "bounds/test_requests.py::test_a_name_may_be_so_long": "NAME_BYTES_MAX",
    "bounds/test_requests.py::test_the_numbers_of_a_job_have_ranges": (
        "TTR_MS_MAX TTL_MS_MAX PRIORITY_MIN PRIORITY_MAX ATTEMPTS_MAX FAILS_MAX "
        "DELAY_MS_MAX BACKOFF_MAX"
    ),
    "bounds/test_requests.py::test_the_numbers_of_a_question_have_ranges": (
        "WAIT_MS_MAX CURSOR_OFFSET_MAX LISTED_MAX"
    ),
    "bounds/test_requests.py::test_a_list_has_so_many_entries_and_bytes": "LISTED_BYTES_MAX",
    "bounds/test_requests.py::test_the_numbers_of_a_worker_have_ranges": (
        "LEASE_COUNT_MAX TOKEN_MAX"
    ),
    "bounds/test_requests.py::test_tags_have_a_range_and_so_many_may_wait": (
        "TAG_MAX TAGGED_WAITS_MAX ALL_TAGGED_WAITS_MAX"
    ),
    "bounds/test_requests.py::test_an_end_too_far_away_is_none": "DEADLINE_MS_MAX",
    "bounds/test_turns.py::test_a_client_has_so_many_requests_in_a_turn": (
        "REQUESTS_PER_SESSION_AND_TURN_MAX"
    ),
    "bounds/test_turns.py::test_many_clients_have_so_many_requests_in_a_turn": (
        "REQUESTS_PER_TURN_MAX REQUESTS_PER_SESSION_AND_TURN_MIN"
    ),
    "bounds/test_turns.py::test_a_request_refused_for_its_form_counts_more": "REFUSAL_COST",
    "bounds/test_turns.py::test_a_large_block_is_as_much_work_as_many_requests": (
        "BLOCK_BYTES_LIKE_A_REQUEST"
    ),
    "bounds/test_turns.py::test_so_many_large_chunks_are_read_in_a_turn": (
        "CHUNK_BYTES_LARGE LARGE_CHUNKS_PER_TURN_MAX"
    ),
    "bounds/test_turns.py::test_so_many_hear_of_a_result_in_a_turn": (
        "ANSWERS_PER_TURN_MAX ANSWER_COST"
    ),
    "bounds/test_turns.py::test_those_who_ask_for_much_have_each_fifth_turn_at_least": (
        "HURRIED_TURNS_MAX"
    ),
    "bounds/test_turns.py::test_so_many_names_are_taken_in_in_a_turn": "NAMES_PER_TURN_MAX",
    "bounds/test_turns.py::test_a_wait_for_many_queues_is_as_much_work_as_many_requests": (
        "NAMES_LIKE_A_REQUEST"
    ),
    "bounds/test_turns.py::test_so_many_jobs_reach_their_end_in_a_turn": (
        "DEADLINES_PER_TURN_MAX CASCADES_PER_TURN_MAX"
    ),
    "bounds/test_turns.py::test_a_queue_full_of_jobs_that_are_over_does_not_keep_others": (
        "HEAD_BURIES_MAX"
    ),
    "bounds/test_connections.py::test_one_connection_too_many_is_told_so_and_closed": (
        "connections_max"
    ),
    "bounds/test_connections.py::test_a_crowd_too_many_that_does_not_go_is_gone_soon": (
        "REFUSED_LINGERING_MAX"
    ),
    "bounds/test_connections.py::test_who_could_not_be_heard_in_time_is_not_late": (
        "LATE_MS request_timeout_ms"
    ),
    "bounds/test_connections.py::test_silence_is_allowed_unless_a_setting_says_else": (
        "idle_timeout_ms"
    ),
    "bounds/test_connections.py::test_half_received_blocks_together_have_a_bound": (
        "input_bytes_max"
    ),
    "bounds/test_connections.py::test_more_than_so_much_behind_a_wait_is_refused": (
        "INPUT_BYTES_MAX"
    ),
    "bounds/test_connections.py::test_more_than_so_much_is_not_read_ahead": "INPUT_BYTES_PAUSE",
    "bounds/test_connections.py::test_a_slow_reader_is_paused_and_not_buffered_without_end": (
        "UNSENT_BYTES_MAX"
    ),
    "bounds/test_connections.py::test_what_all_clients_do_not_take_has_a_bound": (
        "UNTAKEN_BYTES_MAX"
    ),
    "bounds/test_connections.py::test_who_goes_on_after_an_error_is_closed_all_the_same": (
        "LINGER_MS LINGER_BYTES_MAX"
    ),
    "bounds/test_connections.py::test_who_takes_nothing_of_its_last_replies_is_cut": (
        "END_STALLED_MS"
    ),
    "bounds/test_slow_log.py::test_replies_that_wait_for_the_log_have_a_bound": "HELD_BYTES_MAX",
    "bounds/test_slow_log.py::test_of_what_has_waited_so_much_leaves_in_a_turn": (
        "RELEASED_BYTES_PER_TURN_MAX"
    ),
    "bounds/test_slow_log.py::test_changes_that_wait_for_the_log_have_a_bound": "AHEAD_BYTES_MAX",
    "bounds/test_drain.py::test_half_a_request_has_little_time_once_the_server_shuts_down": (
        "CLOSING_REQUEST_MS"
    ),
    "bounds/test_listening.py::test_a_crowd_that_comes_at_once_waits_to_be_accepted": (
        "BACKLOG_CONNECTIONS_MAX"
    ),
    "bounds/test_listening.py::test_the_system_watches_over_silent_clients": "KEEPALIVE_IDLE_MS",
    "server/test_listen.py::test_a_silent_client_is_asked_whether_it_is_there": (
        "KEEPALIVE_INTERVAL_MS KEEPALIVE_PROBES_MAX"
    ),
    "server/test_listen.py::test_the_system_keeps_little_for_a_client_that_does_not_read": (
        "SEND_BUFFER_BYTES"
    ),
    "bounds/test_descriptors.py::test_fewer_descriptors_than_connections_is_a_line_at_the_start": (
        "OWN_DESCRIPTORS"
    ),
    "bounds/test_memory.py::test_one_job_too_many_is_refused": "jobs_max",
    "bounds/test_memory.py::test_payloads_beyond_the_memory_are_refused": (
        "memory_bytes_max JOB_BYTES QUEUE_BYTES"
    ),
    "bounds/test_memory.py::test_results_may_exceed_the_memory_a_little": "RESULT_RESERVE_DIVISOR",
    "bounds/test_memory.py::test_names_that_are_waited_for_have_a_bound": "WAITED_NAMES_MAX",
    "bounds/test_memory.py::test_names_of_queues_that_are_not_used_have_a_bound": "IDLE_NAMES_MAX",
    "bounds/test_memory.py::test_more_than_is_kept_at_hand_makes_no_difference": (
        "KNOWN_LINES_MAX KNOWN_LINE_BYTES_MAX CHUNK_JOBS_MAX GROUP_RUNS_MAX"
    ),
}

#: Those that bound no client, by what they are about. Their tests are where they are used.
NOT_OF_CLIENTS = {
    "how data lies in memory": "DICT_SPLIT EMPTY_RUNS_MAX YOUNG_OBJECTS_MAX",
    "what is measured": "LONG_TURN_MS",
    "the server's end": "LAST_TURNS_MAX",
    "settings and the start": "SETTINGS_FILE_BYTES_MAX SETTING_VALUES_MAX PROBE_MS PROGRESS_MS",
    "log lines": (
        "LOG_FIELD_CHARACTERS_MAX LOG_MESSAGE_CHARACTERS_MAX LOG_EXCEPTION_CHARACTERS_MAX"
    ),
    "systemd": "NOTIFY_MS NOTIFY_STATUS_CHARACTERS_MAX",
    "the command line": (
        "COMPLETION_MS CELL_CHARACTERS_MAX READ_LINES_BYTES TOP_QUEUES_MAX TOP_INTERVAL_MS_MIN "
        "BENCH_CALLS_MAX EXEC_JOBS_MAX EXEC_ERROR_BYTES_MAX EXEC_KILL_MS EXEC_PAUSE_MS"
    ),
    "the command log": (
        "FRAME_RECORDS_MAX FRAME_SPLIT_BYTES FRAME_BODY_BYTES_MAX FRAME_BYTES_ON_LOOP_MAX "
        "SEGMENT_BYTES_MIN SWITCH_US CLOCK_STEP_MS CLOCK_BEHIND_MS_MAX COMPACTION_LOOK_MS "
        "SNAPSHOT_BYTES_MIN SNAPSHOT_RECORD_BYTES COMPACTION_RETRY_MS_MAX LEFT_ON_DISK_BYTES_MIN "
        "COMPACTION_FILES_MAX COMPLAINT_BYTES_MAX COMPACTION_LONG_MS "
        "FILES_LOOKED_FOR_MAX SHORT_SEGMENTS_MAX GATHER_US"
    ),
}


def test_every_bound_stands_here_once():
    """Those that operators can turn among them."""
    here = " ".join([*CROSSED_BY.values(), *NOT_OF_CLIENTS.values()]).split()
    there = [name for name in vars(limits) if name.isupper()] + [*limits.Bounds._fields]
    assert sorted(here) == sorted(there)


@pytest.mark.parametrize("place", CROSSED_BY)
def test_the_test_that_crosses_a_bound_is_there_and_speaks_of_it(place):
    """So that one that was renamed, or tests something else now, is noticed."""
    path, _, name = place.partition("::")
    text = (TESTS / path).read_text("utf-8")
    for one in ast.parse(text).body:
        if isinstance(one, ast.FunctionDef) and one.name == name:
            first = min([one.lineno, *(decorator.lineno for decorator in one.decorator_list)])
            source = "\n".join(text.splitlines()[first - 1 : one.end_lineno])
            break
    else:
        pytest.fail(f"{path} has no {name}")
    for bound in CROSSED_BY[place].split():
        assert bound in source

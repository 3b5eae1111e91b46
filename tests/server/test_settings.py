"""Settings come from four sources, are checked in each, and are documented."""

import contextlib
import dataclasses
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workq.errors import SettingError
from workq.limits import BLOCK_BYTES_MAX, SETTINGS_FILE_BYTES_MAX
from workq.server import kinds, settings
from workq.server.kinds import Boolean, Quantity
from workq.server.settings import SETTINGS, Setting, Settings, describe, load

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
PLACE = "/etc/workq/workq.toml"
BY_NAME = {setting.name: setting for setting in SETTINGS}
Written = Callable[[str | bytes], str]

each_setting = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """A file of that content, by its path."""
    path = tmp_path / "workq.toml"

    def write(content: str | bytes) -> str:
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return str(path)

    return write


def refused(arguments: list[str], environ: dict[str, str] | None = None) -> str:
    """What the error says to these."""
    with pytest.raises(SettingError) as caught:
        load(arguments, environ or {})
    return str(caught.value)


def block(heading: str) -> str:
    """The first fenced block after a heading of the page, or after the text there."""
    found = re.search(rf"{re.escape(heading)}\n.*?```[a-z]*\n(.*?)```\n", PAGE, re.DOTALL)
    assert found, heading
    return found[1]


# --- the table ------------------------------------------------------------------------------


def test_the_table_and_the_class_have_the_same_settings() -> None:
    """One entry and one field make a setting, in the same order."""
    fields = [one.name for one in dataclasses.fields(Settings)]
    assert fields == [*(one.attribute for one in SETTINGS), "sources"]


@each_setting
def test_a_field_has_the_type_of_its_values(setting: Setting) -> None:
    """Several values are a tuple; units stand last in the name."""
    hint = get_type_hints(Settings)[setting.attribute]
    value = getattr(load([], {}), setting.attribute)
    if setting.several:
        assert hint == tuple[str, ...]
        assert isinstance(value, tuple)
    else:
        assert type(value) is hint


@each_setting
def test_a_default_is_legal_and_written_as_it_is_shown(setting: Setting) -> None:
    """So the help, the documentation and --check-config all show the same."""
    loaded = load([], {})
    assert loaded.sources[setting.name] == "default"
    assert setting.show(getattr(loaded, setting.attribute)) == (setting.default or "none")


@each_setting
def test_a_setting_is_explained_by_one_sentence(setting: Setting) -> None:
    """And has a name of the one kind that works as flag, key and variable."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", setting.name)
    assert re.fullmatch(r"[A-Z][^|]+\.", setting.help)
    assert not settings._OF_KUBERNETES.fullmatch(setting.variable)


def test_the_half_received_blocks_of_two_clients_fit_by_default() -> None:
    """Or nobody could send the largest block beside another who does."""
    assert load([], {}).max_half_received_bytes >= 2 * BLOCK_BYTES_MAX


# --- flags ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    ["-max-jobs 7", "-max-jobs=7", "--max-jobs 7", "--max-jobs=7", "--max-jobs=6 -max-jobs 7"],
)
def test_a_flag_has_one_dash_or_two(words: str) -> None:
    """Its value stands in the same word or in the next; of two, the last holds."""
    loaded = load(words.split(), {})
    assert loaded.max_jobs == 7
    assert loaded.sources["max-jobs"] in ("flag -max-jobs", "flag --max-jobs")


def test_a_switch_needs_no_value() -> None:
    """But may have one, after a sign of equality."""
    for words in ("--insecure", "-insecure", "--insecure=true", "--insecure=1"):
        assert load(words.split(), {}).insecure
    for words in ("--insecure=false", "-insecure=NO", "--insecure --insecure=off"):
        assert not load(words.split(), {}).insecure


def test_a_flag_given_several_times_has_all_values() -> None:
    """If it is one of several values; commas separate too."""
    loaded = load(["--listen", "a:1", "-listen=b:2,c:3", "--listen", "d:4"], {})
    assert loaded.listen == ("a:1", "b:2", "c:3", "d:4")


def test_a_value_may_hold_anything_after_the_first_equals_sign() -> None:
    """Paths do."""
    assert load(["--version", "--config=/a=b c"], {}).config == "/a=b c"


@pytest.mark.parametrize("word", ["-h", "--h", "-help", "--help"])
def test_help_has_a_short_form(word: str) -> None:
    """As in the original."""
    assert load([word], {}).help


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_work_whatever_else_is_wrong(word: str) -> None:
    """Neither the environment nor the file is looked at."""
    loaded = load([word, "--config=/nowhere"], {"WORKQ_SERVER_NONSENSE": "1"})
    assert loaded.help or loaded.version


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--max-memry=2G"], "--max-memry: unknown setting; the nearest known is --max-memory"),
        (["-lissen", "a:1"], "-lissen: unknown setting; the nearest known is --listen"),
        (["--max_jobs=1"], "--max_jobs: unknown setting; the nearest known is --max-jobs"),
        (["--LOG=json"], "--LOG: unknown setting; the nearest known is --log"),
        (["--jobs=1"], "--jobs: unknown setting; the nearest known is --max-jobs"),
        (["--threads=4"], "--threads: unknown setting; see --help"),
        (["-v"], "-v: unknown setting; see --help"),
        (["--max-jobs"], "--max-jobs: needs a value: --max-jobs NUMBER"),
        (["start"], "start: not a flag; settings are given as --name value"),
        (
            ["--insecure", "false"],
            "false: not a flag; the value of a switch stands in the same word: --insecure=false",
        ),
        (["--insecure=true", "false"], "false: not a flag; settings are given as --name value"),
        (["--insecure", "maybe"], "maybe: not a flag; settings are given as --name value"),
        (["--insecure", "--log", "json", "on"], "on: not a flag; settings are given as"),
        (["---log=json"], "---log=json: not a flag"),
        (["--"], "--: not a flag"),
        (["-"], "-: not a flag"),
        (["--=x"], "--=x: not a flag"),
        ([""], "'': not a flag"),
    ],
)
def test_a_wrong_flag_is_named(arguments: list[str], said: str) -> None:
    """With what would be right."""
    assert refused(arguments).startswith(said)


# --- values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "texts, size_bytes",
    [
        (("2097152", "2097152B", "2048K", "2048KiB", "2048 kib", "2M", "2.0MiB"), 2 * 1024**2),
        (("2g", "2G", "2GiB"), 2 * 1024**3),
        (("0", "0GiB", "none", "None"), 0),
    ],
)
def test_a_size_is_bytes_or_has_a_unit(texts: tuple[str, ...], size_bytes: int) -> None:
    """Units are powers of 1024."""
    for text in texts:
        assert load(["--max-memory", text], {}).max_memory_bytes == size_bytes


@pytest.mark.parametrize(
    "texts, time_ms",
    [
        (("0.5", "500ms"), 500),
        (("60", "60s", "1m"), 60_000),
        (("1h", "60m"), 3_600_000),
        (("1d", "24H"), 86_400_000),
        (("0", "0h", "never"), 0),
    ],
)
def test_a_time_is_seconds_or_has_a_unit(texts: tuple[str, ...], time_ms: int) -> None:
    """It is kept in milliseconds."""
    for text in texts:
        assert load(["--request-timeout", text], {}).request_timeout_ms == time_ms


def test_the_unit_of_a_plain_time_is_the_settings_choice() -> None:
    """Some of the original's flags are plain milliseconds."""
    kind = kinds.duration(1, 10_000, plain="ms")
    assert kind.read("--cmdlog-sync-int", "1000") == 1000
    assert kind.read("--cmdlog-sync-int", "1s") == 1000


@pytest.mark.parametrize(
    "flag, problem",
    [
        ("--max-connections=0", "0 is not in 1 … 1000000"),
        ("--max-connections=1000001", "1000001 is not in 1 … 1000000"),
        ("--max-connections=-1", "-1 is not in 1 … 1000000"),
        ("--max-connections=many", "'many' is not a whole number"),
        ("--max-connections=", "'' is not a whole number"),
        ("--max-connections=\u0663", "'\u0663' is not a whole number"),
        ("--max-connections=1K", "'1K' is not a whole number"),
        ("--max-connections=none", "'none' is not a whole number"),
        (
            "--max-memory=2GB",
            "'2GB' is not a size like 65536, 64KiB or 2GiB (the units are B, KiB, MiB, GiB,",
        ),
        ("--max-memory=1000", "1000 is not in 1MiB … 1024GiB, or 0 for none"),
        ("--max-memory=" + "9" * 5000, "'" + "9" * 299 + " … 999"),
        ("--max-line=1e3", "'1e3' is not a size"),
        ("--idle-timeout=10ms", "10ms is not in 1s … 30d, or 0 for never"),
        ("--idle-timeout=soon", "'soon' is not a time like 500ms, 60s, 5m or 1h"),
        ("--idle-timeout=nan", "'nan' is not a time"),
        ("--log=xml", "'xml' is not one of auto, human, json"),
        ("--insecure=maybe", "'maybe' is not true or false"),
        ("--insecure=", "'' is not true or false"),
        ("--config=a\nb", "'a\\nb' has characters that cannot be printed"),
        ("--listen=", "0 values are not in 1 … 64"),
        ("--listen=" + "a:1," * 65, "65 values are not in 1 … 64"),
        (
            "--listen=a:1,b",
            "'b' is not like 127.0.0.1:9922, [::1]:9922 or unix:/run/workq.sock: it",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_is_right(flag: str, problem: str) -> None:
    """The setting, the value and the range, or a good example."""
    assert refused([flag]).startswith(f"{flag.partition('=')[0]}: {problem}")


@pytest.mark.parametrize(
    "flag, problem",
    [
        ("--max-connections=1.5", "1.5 is not a whole number"),
        ("--max-line=1.0001KiB", "1.0001KiB is not a whole number of bytes"),
        ("--idle-timeout=1.0001s", "1.0001s is not a whole number of ms"),
    ],
)
def test_a_fraction_of_the_least_unit_is_refused(flag: str, problem: str) -> None:
    """The whole of the message: nothing of it is left open."""
    assert refused([flag]) == f"{flag.partition('=')[0]}: {problem}"


@pytest.mark.parametrize("text", ["0.0.0.0:0", ":9922", "192.0.2.1:1", "[::]:1", "[2001:db8::1]:1"])
def test_an_address_that_others_reach_is_refused_before_the_start(
    written: Written, text: str
) -> None:
    """With the source that named it; in each of them, and only if it is the one that holds."""
    said = f"{text} can be reached from other machines, and there is no authentication yet; "
    said += "say --insecure if that is meant"
    path = written(f"listen = '{text}'")
    assert refused(["-listen", f"127.0.0.1:1,{text}"]) == f"-listen: {said}"
    assert refused([], {"WORKQ_SERVER_LISTEN": text}) == f"WORKQ_SERVER_LISTEN: {said}"
    assert refused(["--config", path]) == f"{path}: listen: {said}"
    assert load(["--listen", text, "--insecure"], {}).listen == (text,)
    assert load(["--config", path, "--listen=localhost:1"], {}).listen == ("localhost:1",)
    assert load(["--listen", text, "--version"], {}).version


@each_setting
def test_the_ends_of_a_range_are_in_it(setting: Setting) -> None:
    """And what lies beyond is not."""
    kind = setting.kind
    if not isinstance(kind, Quantity):
        return
    base = next(iter(kind.units))
    for good in (kind.lowest, kind.highest):
        assert kind.read("x", f"{good}{base}") == good
    for bad in (kind.lowest - 1, kind.highest + 1):
        if bad or not kind.zero:
            with pytest.raises(SettingError):
                kind.read("x", f"{bad}{base}")


@given(st.sampled_from([one.kind for one in SETTINGS if isinstance(one.kind, Quantity)]), st.data())
def test_what_is_shown_can_be_read(kind: Quantity, data: st.DataObject) -> None:
    """And gives the same value, whatever it is."""
    value = data.draw(st.integers(kind.lowest, kind.highest))
    assert kind.read("x", kind.show(value)) == value


@given(st.sampled_from(SETTINGS), st.text())
def test_any_text_is_read_or_refused(setting: Setting, text: str) -> None:
    """There is no other error, whatever somebody writes."""
    with contextlib.suppress(SettingError):
        setting.kind.read("x", text)


# --- the environment ------------------------------------------------------------------------


def test_the_environment_has_every_setting_that_is_not_of_the_command_line() -> None:
    """In capitals, after a prefix; several values are separated by commas or white space."""
    loaded = load(
        [],
        {
            "PATH": "/bin",
            "workq_server_log": "not ours",
            "WORKQ_SERVER_MAX_MEMORY": "2GiB",
            "WORKQ_SERVER_INSECURE": "true",
            "WORKQ_SERVER_LISTEN": "a:1, b:2\tc:3",
        },
    )
    assert (loaded.max_memory_bytes, loaded.insecure) == (2 * 1024**3, True)
    assert loaded.listen == ("a:1", "b:2", "c:3")
    assert loaded.sources["max-memory"] == "environment WORKQ_SERVER_MAX_MEMORY"


def test_an_empty_variable_is_not_set() -> None:
    """Tools that pass variables on cannot always leave one out."""
    loaded = load([], {"WORKQ_SERVER_MAX_JOBS": "", "WORKQ_SERVER_LISTEN": ""})
    assert loaded == load([], {})
    assert loaded.sources["listen"] == "default"


@pytest.mark.parametrize(
    "variable, value, said",
    [
        ("MAX_MEM", "1", "unknown setting; the nearest known is WORKQ_SERVER_MAX_MEMORY"),
        ("max_memory", "1", "unknown setting; the nearest known is WORKQ_SERVER_"),
        ("NONSENSE", "", "unknown setting; see --help"),
        ("", "1", "unknown setting; see --help"),
        ("LISTEN", "9922", "'9922' is not like 127.0.0.1:9922, [::1]:9922 or unix:"),
        ("VERSION", "1", "can only be given by flag"),
        ("MAX_JOBS", "-5", "-5 is not in 1 … 1000000000, or 0 for none"),
        ("CONFIG", "/no/such", "cannot read /no/such: No such file or directory"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, said: str) -> None:
    """With what would be right."""
    name = f"WORKQ_SERVER_{variable}"
    assert refused([], {name: value}).startswith(f"{name}: {said}")


def test_what_kubernetes_sets_is_not_ours() -> None:
    """A service named workq-server must not keep servers from starting."""
    names = "SERVICE_HOST SERVICE_PORT SERVICE_PORT_WIRE PORT PORT_9922_TCP PORT_9922_TCP_PROTO"
    names += " PORT_9922_TCP_PORT PORT_9922_TCP_ADDR"
    environ = {f"WORKQ_SERVER_{name}": "tcp://10.0.0.1:9922" for name in names.split()}
    assert load([], environ) == load([], {})
    assert "unknown" in refused([], {"WORKQ_SERVER_PORTS": "1"})


# --- the file -------------------------------------------------------------------------------


def test_a_file_has_native_values(written: Written) -> None:
    """Numbers, truth and arrays need no quotes."""
    path = written(
        'listen = ["a:1", "b:2"]\ninsecure = true\nmax-jobs = 1_000\nmax-memory = "2GiB"\n'
        "max-line = 0x1000\nrequest-timeout = 1.5\nidle-timeout = 90\n"
    )
    loaded = load(["--config", path], {})
    assert (loaded.listen, loaded.insecure, loaded.max_jobs) == (("a:1", "b:2"), True, 1000)
    assert (loaded.max_memory_bytes, loaded.max_line_bytes) == (2 * 1024**3, 4096)
    assert (loaded.request_timeout_ms, loaded.idle_timeout_ms) == (1500, 90_000)
    assert loaded.sources["listen"] == f"file {path}"


@pytest.mark.parametrize(
    "content, said",
    [
        ("max_memory = 1", ": max_memory: unknown setting; the nearest known is max-memory"),
        ("[listen]\nlog = 'json'", ": listen: a table; settings stand outside of tables"),
        ("[server]\nlog = 'json'", ": server: a table; settings stand outside of tables"),
        ("max.jobs = 1", ": max: a table; settings stand outside of tables"),
        ("listen = ['a:1', 'b']", ": listen: 'b' is not like 127.0.0.1:9922"),
        ("config = 'x'", ": config: can only be given by environment or flag"),
        ("help = true", ": help: can only be given by flag"),
        ("max-jobs = true", ": max-jobs: 'true' is not a whole number"),
        ("max-jobs = -1", ": max-jobs: -1 is not in "),
        ("max-jobs = [1]", ": max-jobs: an array, but this setting has one value only"),
        ("listen = [['a:1']]", ": listen: an array of arrays or tables"),
        ("listen = [{a = 1}]", ": listen: an array of arrays or tables"),
        ("listen = []", ": listen: 0 values are not in 1 … 64"),
        ("log = 2026-11-23", ": log: 2026-11-23 is a date or a time of day"),
        ("log = 05:40:00", ": log: 05:40:00 is a date or a time of day"),
        (
            "log = json",
            ": not a TOML file: Invalid value (at line 1, column 7); text and what has a unit need",
        ),
        ("insecure = 2", ": insecure: '2' is not true or false"),
        ("idle-timeout = inf", ": idle-timeout: 'inf' is not a time"),
        (f"max-jobs = 0x{'f' * 9999}", ": max-jobs: a number beyond every range"),
        (f"max-jobs = {'9' * 9999}", ": not a TOML file: "),
        ("log = ", ": not a TOML file: "),
        ("log = 'human'\nlog = 'json'", ": not a TOML file: "),
        (b"log = '\xff'", ": not a TOML file: "),
        (f"log = {'[' * 50_000}", ": not a TOML file: "),
    ],
)
def test_a_mistake_in_a_file_is_named_with_file_and_key(
    written: Written, content: str | bytes, said: str
) -> None:
    """Whatever the file has in it."""
    path = written(content)
    assert refused(["--config", path]).startswith(f"{path}{said}")


def test_an_error_is_one_line_whatever_is_in_it(written: Written) -> None:
    """Nothing that was given can make another line of it, or colours, or one that nobody reads."""
    path = written('"a\\nworkq-server: all is well\\u001b[32m" = 1')
    environ = {"WORKQ_SERVER_\n": "1", "WORKQ_SERVER_" + "X" * 5000: "1"}
    lines = refused(["--config", path], environ).split("\n")
    assert len(lines) == 3
    assert all(line.isprintable() and len(line) < 1000 for line in lines)
    assert all("unknown setting; see --help" in line for line in lines)


def test_what_decides_where_else_to_look_is_told_with_the_others() -> None:
    """A value of these that cannot be used is one mistake of several."""
    words = ["--config=a\nb", "--help=maybe", "--version=", "--log=x"]
    said = refused(words, {"WORKQ_SERVER_MAX_LINE": "1"}).splitlines()
    assert [line.partition(":")[0] for line in said] == [
        "WORKQ_SERVER_MAX_LINE", "--config", "--help", "--version", "--log",
    ]  # fmt: skip


def test_a_path_that_is_shown_as_none_can_be_written_so() -> None:
    """A directory of that name is `./none`."""
    environ = {"WORKQ_SERVER_CMDLOG_PATH": "data", "WORKQ_SERVER_CONFIG": "absent"}
    loaded = load(["--cmdlog-path=none", "--config=none"], environ)
    assert (loaded.cmdlog_path, loaded.config) == ("", "")
    assert load(["--cmdlog-path=./none"], {}).cmdlog_path == "./none"


def test_a_file_that_cannot_be_read_is_an_error_of_who_named_it(tmp_path: Path) -> None:
    """A flag or a variable: that is where it has to be mended."""
    absent = str(tmp_path / "absent")
    said = f"cannot read {absent}: No such file or directory"
    assert refused(["-config", absent]) == f"-config: {said}"
    assert refused([], {"WORKQ_SERVER_CONFIG": absent}) == f"WORKQ_SERVER_CONFIG: {said}"
    assert refused(["--config", str(tmp_path)]).endswith("Is a directory")


def test_a_file_has_a_bound() -> None:
    """A path that names something endless does not fill the memory."""
    said = f"--config: /dev/zero has more than {SETTINGS_FILE_BYTES_MAX} bytes"
    assert refused(["--config", "/dev/zero"]) == said


def test_an_empty_path_is_no_file() -> None:
    """So a flag can switch off what the environment names."""
    loaded = load(["--config="], {"WORKQ_SERVER_CONFIG": "/no/such"})
    assert loaded.config == ""


# --- their order ----------------------------------------------------------------------------


def test_a_later_source_overrides_an_earlier_one(written: Written) -> None:
    """Defaults, file, environment, flags: each setting has the last value that is given."""
    path = written("max-jobs = 1\nmax-line = 2048\nlog = 'json'\nlisten = ['a:1', 'b:2']")
    environ = {"CONFIG": path, "MAX_JOBS": "2", "LOG": "human"}
    environ = {f"WORKQ_SERVER_{name}": value for name, value in environ.items()}
    loaded = load(["--max-jobs=3", "--listen=c:3"], environ)
    assert (loaded.max_jobs, loaded.log, loaded.max_line_bytes) == (3, "human", 2048)
    assert loaded.listen == ("c:3",)
    assert loaded.sources["listen"] == "flag --listen"
    assert loaded.sources["log"] == "environment WORKQ_SERVER_LOG"
    assert loaded.sources["max-line"] == f"file {path}"
    assert loaded.sources["idle-timeout"] == "default"


def test_a_flag_names_the_file_before_the_environment_does(written: Written) -> None:
    """Only one file is read."""
    path = written("max-jobs = 1")
    loaded = load(["--config", path], {"WORKQ_SERVER_CONFIG": "/no/such"})
    assert loaded.max_jobs == 1


def test_a_value_is_checked_where_another_overrides_it(written: Written) -> None:
    """A mistake shows at once, not on the day the flag is dropped."""
    path = written("max-jobs = 'x'")
    assert refused(["--config", path, "--max-jobs=1"]).startswith(f"{path}: max-jobs: ")
    environ = {"WORKQ_SERVER_MAX_JOBS": "x"}
    assert refused(["--max-jobs=1"], environ).startswith("WORKQ_SERVER_MAX_JOBS: ")


# --- what is shown --------------------------------------------------------------------------


def test_check_config_tells_value_and_source_of_each_setting() -> None:
    """All but those that are acts of the command line."""
    rows = [line.split(maxsplit=2) for line in describe(load(["-max-jobs=5"], {})).splitlines()]
    assert rows[0] == ["setting", "value", "from"]
    assert ["max-jobs", "5", "flag -max-jobs"] in rows
    assert ["config", "none", "default"] in rows
    acts = {"accept-clock", "check-config", "version", "help"}
    assert [row[0] for row in rows[1:]] == [one.name for one in SETTINGS if one.name not in acts]


def test_help_has_every_flag_and_fits_a_terminal() -> None:
    """With its default, and nothing wider than 80 columns."""
    text = settings.help_text()
    for one in SETTINGS:
        value = "" if isinstance(one.kind, Boolean) else f" {one.kind.metavar}"
        assert f"\n  --{one.name}{value}\n" in text
    assert "default 127.0.0.1:9922; may be given several times" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


# --- the documentation ----------------------------------------------------------------------


def test_the_documentation_has_the_table_of_the_code() -> None:
    """Line for line: print(markdown_table()) makes it."""
    found = re.search(r"^\| setting .*?\n(?!\|)", PAGE, re.DOTALL | re.MULTILINE)
    assert found
    assert found[0] == settings.markdown_table()


def test_the_documentation_names_no_setting_that_is_not_there() -> None:
    """Flags and variables anywhere in its text are known."""
    prose = PAGE.replace(block("told at once. With the file"), "").replace(
        block("More examples:"), ""
    )
    flags = set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", prose))
    variables = set(re.findall(r"WORKQ_SERVER_[A-Z_]*[A-Z]", prose))
    ours = {name for name in variables if not settings._OF_KUBERNETES.fullmatch(name)}
    assert flags <= set(BY_NAME)
    assert ours <= {one.variable for one in SETTINGS}


def test_the_example_of_the_documentation_holds(written: Written) -> None:
    """The file can be read, and --check-config prints what is shown."""
    file = block("## A file")
    path = written(file)
    loaded = load(["--config", path, "--log-level", "debug"], {})
    sources = {name: text.replace(path, PLACE) for name, text in loaded.sources.items()}
    shown = dataclasses.replace(loaded, config=PLACE, sources=sources)
    command = f"workq-server --config {PLACE} --log-level debug --check-config"
    assert describe(shown) == block(f"`{command}` prints")
    assert set(tomllib.loads(file)) <= set(BY_NAME)


def test_the_errors_of_the_documentation_are_right(written: Written) -> None:
    """Each is what the mistake it tells of gets."""
    path = written('max_line = "64KiB"\n')
    said = [
        refused(["--max-connections", "0"]),
        refused(["-max-memry=2G"]),
        refused([], {"WORKQ_SERVER_IDLE_TIMEOUT": "soon"}),
        refused(["--config", path]).replace(path, PLACE),
        refused(["--config", written("log = yes\n")]).replace(path, PLACE),
        refused([], {"WORKQ_SERVER_LISTEN": "::1:9922"}),
        refused(["--listen", "0.0.0.0:9922"]),
    ]
    assert block("More examples:").splitlines() == [f"workq-server: {one}" for one in said]


def test_the_mistakes_of_the_documentation_are_told_together(written: Written) -> None:
    """A line for each, in the order of the sources."""
    path = written(block("told at once. With the file"))
    said = refused(["--config", path, "--max-jobs", "many"]).replace(path, PLACE)
    shown = block("--max-jobs many --check-config` says").splitlines()
    assert shown == [f"workq-server: {line}" for line in said.splitlines()]


def test_mistakes_of_all_sources_are_told_together(written: Written) -> None:
    """The unknown ones first, then what cannot be used; and each address that may not be."""
    path = written('log = "jsn"\n[section]\n')
    environ = {"WORKQ_SERVER_LOGS": "1", "WORKQ_SERVER_MAX_JOBS": "x"}
    lines = refused(["--config", path, "--max-line", "1"], environ).splitlines()
    assert [line.replace(path, PLACE).partition(" ")[0] for line in lines] == [
        "WORKQ_SERVER_LOGS:", f"{PLACE}:", f"{PLACE}:", "WORKQ_SERVER_MAX_JOBS:", "--max-line:",
    ]  # fmt: skip
    both = refused(["--listen=0.0.0.0:1", "--listen", "[::]:2"]).splitlines()
    assert [line.partition(" can be")[0] for line in both] == [
        "--listen: 0.0.0.0:1", "--listen: [::]:2",
    ]  # fmt: skip


def test_a_setting_that_stands_twice_in_a_file_is_told_so(written: Written) -> None:
    """TOML knows no last one that holds, and its reader says it in other words."""
    said = refused(["--config", written("max-jobs = 1\nmax-jobs = 2\n")])
    assert said.endswith("(at line 2, column 13); the setting stands there twice")


def test_the_units_of_the_documentation_are_those_of_the_code() -> None:
    """Each is in the table of how values are written."""
    rows = re.findall(r"^\| a (?:size|time) \|.*$", PAGE, re.MULTILINE)
    assert all(f"`{unit}`" in rows[0] for unit in kinds.BYTE_UNITS if unit != "B")
    assert all(re.search(rf"\d{unit}`", rows[1]) for unit in kinds.TIME_UNITS)

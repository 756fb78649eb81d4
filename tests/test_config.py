"""corolib._config: one table, read from the environment."""

import pprint

import pytest

from corolib import _config
from corolib._config import SETTINGS, Config


def config(**environ):
    return Config(environ={f"COROLIB_{name.upper()}": value for name, value in environ.items()})


def test_defaults():
    plain = config()
    assert plain.resolver == ("thread",)
    assert plain.threadpool_size == 10
    assert plain.threadpool_idle_task_timeout == 5.0
    assert plain.libev_backend is None
    assert plain.track_greenlet_tree is False


def test_read_from_the_environment():
    made = config(
        resolver="dns, thread",
        resolver_nameservers="192.0.2.1,192.0.2.2",
        resolver_timeout="2.5",
        threadpool_size="3",
        threadpool_idle_task_timeout="-1",
        libev_backend="poll",
        track_greenlet_tree="yes",
    )
    assert made.resolver == ("dns", "thread")
    assert made.resolver_nameservers == ("192.0.2.1", "192.0.2.2")
    assert made.resolver_timeout == 2.5
    assert made.threadpool_size == 3
    assert made.threadpool_idle_task_timeout == -1
    assert made.libev_backend == "poll"
    assert made.track_greenlet_tree is True


def test_other_variables_are_read_where_its_own_is_not_set():
    made = Config(environ={"OTHER_SIZE": "3", "OTHER_TIMEOUT": "soon", "COROLIB_LIBEV_BACKEND": "poll"})
    assert made.threadpool_size == 10
    made = Config(environ={"OTHER_SIZE": "3", "OTHER_TIMEOUT": "soon", "COROLIB_LIBEV_BACKEND": "poll"})
    made.also_read(
        {"threadpool_size": "OTHER_SIZE", "resolver_timeout": "OTHER_TIMEOUT", "libev_backend": "OTHER_SIZE"}
    )
    assert made.threadpool_size == 3
    assert made.libev_backend == "poll"
    assert made.resolver == ("thread",)
    with pytest.raises(ValueError, match="OTHER_TIMEOUT = 'soon': expected a number of seconds"):
        made.resolver_timeout
    with pytest.raises(AttributeError, match="no setting 'nonsense'"):
        made.also_read({"nonsense": "OTHER"})
    made.also_read({})
    del made.threadpool_size
    assert made.threadpool_size == 10


@pytest.mark.parametrize("word", ["1", "true", "on", "YES"])
def test_true_words(word):
    assert config(track_greenlet_tree=word).track_greenlet_tree is True


@pytest.mark.parametrize("word", ["0", "false", "off", "No", ""])
def test_false_words(word):
    assert config(track_greenlet_tree=word).track_greenlet_tree is False


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("track_greenlet_tree", "perhaps", "expected one of 1, true"),
        ("threadpool_size", "0", "expected a whole number, 1 or more"),
        ("threadpool_size", "many", "expected a whole number, 1 or more"),
        ("threadpool_idle_task_timeout", "soon", "expected a number of seconds"),
        ("threadpool_idle_task_timeout", "nan", "expected a number of seconds"),
        ("resolver", "dns,,thread", "found an empty one"),
        ("resolver", "", "found an empty one"),
        ("libev_backend", " ", "expected a word"),
        ("max_blocking_time", "0", "a number of seconds above 0"),
        ("max_memory_usage", "much", "expected a number of bytes above 0"),
        ("max_memory_usage", "-1mb", "expected a number of bytes above 0"),
        ("max_memory_usage", "inf", "expected a number of bytes above 0"),
    ],
)
def test_bad_text_names_the_variable_what_was_found_and_what_was_expected(name, text, expected):
    with pytest.raises(ValueError, match=expected) as caught:
        getattr(config(**{name: text}), name)
    assert str(caught.value).startswith(f"COROLIB_{name.upper()} = {text!r}: ")


def test_what_the_monitor_reads():
    plain = config()
    assert (plain.monitor_thread, plain.max_blocking_time, plain.print_blocking_reports) == (False, 0.1, True)
    assert (plain.memory_monitor_period, plain.max_memory_usage) == (5.0, None)
    made = config(
        monitor_thread="on",
        max_blocking_time="2",
        print_blocking_reports="0",
        memory_monitor_period="0.5",
        max_memory_usage="1.5 GB",
    )
    assert (made.monitor_thread, made.max_blocking_time, made.print_blocking_reports) == (True, 2.0, False)
    assert (made.memory_monitor_period, made.max_memory_usage) == (0.5, 3 << 29)
    assert [config(max_memory_usage=text).max_memory_usage for text in ("100", "2kb", "3MB", "")] == [
        100,
        2 << 10,
        3 << 20,
        None,
    ]


def test_choosing_by_word_path_or_object():
    made = config(format_context="repr", threadpool="pprint.no_such_thing, pprint.pformat")
    assert made.choose("format_context", {"repr": ascii}) is ascii
    assert made.choose("threadpool") is pprint.pformat
    for value in (pprint.pprint, [pprint.pprint, "repr"], (pprint.pprint,)):
        made.format_context = value
        assert made.choose("format_context", {"repr": ascii}) is pprint.pprint
    made.format_context = ["unknown", "no.such.module.name"]
    with pytest.raises(
        ImportError, match=r"config\.format_context.*unknown: expected repr, package.*no\.such"
    ):
        made.choose("format_context", {"repr": ascii})
    with pytest.raises(ValueError, match="expected words, a path"):
        made.format_context = []
    with pytest.raises(ValueError, match="expected words, a path"):
        made.format_context = None


def test_assigning_checks_and_wins_over_the_environment():
    made = config(threadpool_size="3")
    made.threadpool_size = 4
    assert made.threadpool_size == 4
    with pytest.raises(ValueError, match=r"threadpool_size = -1: expected"):
        made.threadpool_size = -1
    assert made.threadpool_size == 4
    del made.threadpool_size
    assert made.threadpool_size == 3
    made.set("resolver", ["dns", "thread"])
    assert made.resolver == ("dns", "thread")
    made.resolver_nameservers = None
    assert made.resolver_nameservers is None
    with pytest.raises(ValueError, match="expected words"):
        made.resolver = 5


def test_a_setting_that_does_not_exist():
    made = config()
    with pytest.raises(AttributeError, match="no setting 'resolvr'; the settings are resolver, "):
        made.resolvr  # the reading is the test
    with pytest.raises(AttributeError, match="no setting 'resolvr'"):
        made.resolvr = "dns"


def test_the_table_is_visible():
    made = config()
    assert list(made.settings) == [row.name for row in SETTINGS]
    assert {"resolver", "threadpool_size", "set"} <= set(dir(made))
    assert made.settings["resolver"].variable == "COROLIB_RESOLVER"


def test_help_names_every_setting(capsys):
    config(threadpool_size="3").print_help()
    text = capsys.readouterr().out
    assert "threadpool_size = 3\n" in text
    assert all(row.variable in text for row in SETTINGS)


def test_there_is_one_for_the_process():
    assert isinstance(_config.config, Config)

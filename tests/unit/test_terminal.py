"""Output is literal: no markup, no terminal control, and no character that ends a command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.terminal import escaped
from tests.conftest import REPOSITORY, RunProgram

IN_A_COMMAND = """
import sys
from engine_bridge.errors import WireError
from runtime.terminal import log_to_stderr, run_command_line, say, say_json, table
def command():
    {body}
run_command_line(command)
"""


def command(run_program: RunProgram, body: str, encoding: str = "utf-8", code: int = 0) -> tuple[str, str]:
    """Output and errors of a command with this body."""
    program = [sys.executable, "-c", IN_A_COMMAND.format(body=body)]
    environment = {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = run_program(program, environment=environment)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


@given(st.text())
def test_a_printed_text_cannot_steer_the_terminal(text: str) -> None:
    shown = escaped(text)
    shown.encode("utf-8")
    assert not any(sign < " " and sign not in "\n\t" for sign in shown)
    assert not any(sign in shown for sign in "\x7f\x9b\u202e\u2066\u2028\u061c")


@pytest.mark.parametrize(
    "text", ["take [v2]", "take [/b]", ":smile:", "[link=x]y[/link]", "ねこ é 🐈‍⬛", "a\nb\tc", "\\[x]"]
)
def test_a_text_for_people_is_printed_as_it_is(run_program: RunProgram, text: str) -> None:
    assert escaped(text) == text
    out, err = command(run_program, f"say({text!r}); say({text!r}, err=True)")
    assert (out, err) == (f"{text}\n", f"{text}\n")


def test_tables_and_logs_show_brackets_and_escapes(run_program: RunProgram) -> None:
    body = "log_to_stderr(); import logging; logging.warning('[b]x[/c]\\x1b[31m');"
    body += "table(['[h]'], [('[/b]\\x1b]0;t\\x07',)])"
    out, err = command(run_program, body)
    assert "[h]" in out
    assert r"[/b]\x1b]0;t\x07" in out
    assert r"[b]x[/c]\x1b[31m" in err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "cp932", "latin-1", "utf-8", "ascii:strict"])
def test_no_letter_ends_a_command(run_program: RunProgram, encoding: str) -> None:
    body = "say('Name \\u306d\\u3053 \\u2026 \\udcff'); say_json({'name': '\\u306d\\xe9\\U0001f408'});"
    body += "table(['\\u306d'], [('\\u2026',)])"
    out, err = command(run_program, body, encoding)
    assert out.startswith("Name ")
    assert '{"name": "\\u306d\\u00e9\\ud83d\\udc08"}' in out
    assert err == ""


def test_the_choice_of_the_user_for_missing_letters_stands(run_program: RunProgram) -> None:
    out, _ = command(run_program, "say('a\\u306db')", "ascii:replace")
    assert out == "a?b\n"


def test_an_error_is_one_text_with_the_code_it_stands_for(run_program: RunProgram) -> None:
    out, err = command(run_program, "raise WireError('no [stream] here')", code=1)
    assert (out, err) == ("", "Error: no [stream] here\n")


def test_a_bug_of_ours_is_shown_in_full(run_program: RunProgram) -> None:
    _, err = command(run_program, "raise ValueError('surprise')", code=1)
    assert "Traceback" in err
    assert "ValueError: surprise" in err


def test_ctrl_c_waits_for_the_end_of_an_import(run_program: RunProgram, tmp_path: Path) -> None:
    # A native module that loses the exception is played by one that catches everything.
    (tmp_path / "swallows.py").write_text(
        "import _thread, time\n"
        "try:\n    _thread.interrupt_main()\n    time.sleep(0.01)\n    survived = True\n"
        "except BaseException:\n    raise ImportError('initialization failed')\n"
    )
    body = f"sys.path.insert(0, {str(tmp_path)!r}); import swallows; import time; time.sleep(60)"
    out, err = command(run_program, body, code=130)
    assert (out, err) == ("", "Interrupted.\n")


def test_a_thread_in_a_native_library_does_not_turn_the_end_into_an_abort(run_program: RunProgram) -> None:
    body = "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); say('done')"
    out, err = command(run_program, body)
    assert (out, err) == ("done\n", "")

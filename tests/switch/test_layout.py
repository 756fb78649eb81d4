"""Where an interpreter frame keeps what: the numbers in tstate_3xx.h against the interpreter's own header."""

import os
import sysconfig
from pathlib import Path

import pytest
from switch.building import build_extension

SOURCE = """
    #define Py_BUILD_CORE_MODULE
    #include <Python.h>
    #include <stddef.h>
    #if PY_VERSION_HEX >= 0x030E0000
    #include <internal/pycore_interpframe_structs.h>
    #else
    #include <internal/pycore_frame.h>
    #endif
    #include "tstate.h"

    #define IS(name, field) \\
        _Static_assert(offsetof(_PyInterpreterFrame, field) == TSTATE_FRAME_##name * sizeof(void *), #field)

    #if PY_VERSION_HEX >= 0x030D0000
    IS(CODE, f_executable);
    #else
    IS(CODE, f_code);
    #endif
    #if PY_VERSION_HEX >= 0x030C0000
    IS(FUNCTION, f_funcobj);
    #else
    IS(FUNCTION, f_func);
    #endif
    #if PY_VERSION_HEX >= 0x030D0000
    IS(NEXT, instr_ptr);
    #else
    IS(NEXT, prev_instr);
    #endif
    #if PY_VERSION_HEX >= 0x030E0000
    IS(TOP, stackpointer);
    #else
    _Static_assert(offsetof(_PyInterpreterFrame, stacktop) == TSTATE_FRAME_HEIGHT, "stacktop");
    #endif
    IS(LOCALS, f_locals);
    IS(OBJECT, frame_obj);
    IS(PREVIOUS, previous);
    IS(FAST, localsplus);
    _Static_assert(offsetof(_PyInterpreterFrame, owner) == TSTATE_FRAME_OWNER, "owner");
    _Static_assert(FRAME_OWNED_BY_THREAD == 0, "a frame in the data stack");
"""


def test_the_words_of_a_frame_are_where_the_interpreter_has_them(tmp_path):
    internal = Path(sysconfig.get_path("include"), "internal")
    if not internal.is_dir():
        assert not os.environ.get("COROLIB_CI"), f"{internal} is missing"
        pytest.skip("this Python came without its internal headers")
    source = tmp_path / "layout.c"
    source.write_text(SOURCE)
    build_extension(tmp_path / "layout.so", [source], ["-Wno-error", "-Wno-unused-function"])


def test_a_wrong_word_would_be_seen(tmp_path):
    internal = Path(sysconfig.get_path("include"), "internal")
    if not internal.is_dir():
        pytest.skip("this Python came without its internal headers")
    source = tmp_path / "layout.c"
    source.write_text(SOURCE + "IS(CODE, f_locals);\n")
    with pytest.raises(AssertionError, match="static assertion failed"):
        build_extension(tmp_path / "layout.so", [source], ["-Wno-error", "-Wno-unused-function"])

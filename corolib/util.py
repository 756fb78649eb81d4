"""To look at a program that runs. The names are those of `corolib.tools`, under one roof."""

from .tools.holders import note_lock_holders
from .tools.trace import assert_switches
from .tools.tree import (
    GreenletTree,
    clear_stack_frames,
    dump_stacks,
    format_run_info,
    print_run_info,
    wrap_errors,
)
from .tools.waits import report_waiting_on, waiting

__all__ = [
    "GreenletTree",
    "assert_switches",
    "clear_stack_frames",
    "dump_stacks",
    "format_run_info",
    "note_lock_holders",
    "print_run_info",
    "report_waiting_on",
    "waiting",
    "wrap_errors",
]

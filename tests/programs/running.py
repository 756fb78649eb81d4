"""Runs the programs of this folder: as they are, and unmodified under `python -m corolib.monkey`."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import needed
from helpers import run_isolated

HERE = Path(__file__).parent
#: What this machine has set for its own network is not for servers of ours.
PLAIN_NETWORK = {
    "REQUESTS_CA_BUNDLE": "",
    "CURL_CA_BUNDLE": "",
    "SSL_CERT_FILE": "",
    "NO_PROXY": "*",
    "no_proxy": "*",
}
#: How many calls are to be on their way at the same time.
CROWD = 50


def needs(*, modules: tuple[str, ...] = (), tools: tuple[str, ...] = (), packages: str = "") -> None:
    """Skip the test where something is not installed; fail it under COROLIB_CI=1, which promises it."""
    missing = [f"the module {name}" for name in modules if not _is_there(name)]
    missing += [f"the program {name}" for name in tools if find(name) is None]
    if not missing:
        return
    reason = f"{' and '.join(missing)} cannot be found (pip install corolib[programs,web]"
    reason += f", apt-get install {packages})" if packages else ")"
    needed.cannot(reason)


def _is_there(module: str) -> bool:
    # What is imported already may have put something else than a module of its kind in its place.
    return sys.modules.get(module) is not None or importlib.util.find_spec(module) is not None


def find(tool: str) -> str | None:
    """Where a program is, also one for administrators only, and any version of PostgreSQL's."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join(
        [os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", *map(str, versions)]
    )
    return shutil.which(tool, path=path)


def run_both(program: str, *arguments: object, patching: str = "") -> str:
    """What a program writes; it must be the same with and without patching, and nothing else.

    `patching` is what has to be done after patch_all() in addition. The servers see what
    overlaps: they keep CROWD calls waiting for each other. Plain, these are threads; patched, greenlets.
    """
    script = HERE / program
    plain = run_isolated(script, *arguments, env=PLAIN_NETWORK)
    options = ["-W", "error::RuntimeWarning"]
    if patching:
        lines = [
            "import sys",
            "from corolib import monkey",
            "monkey.patch_all()",
            patching,
            "monkey.main(sys.argv[1:])",
        ]
        patched = run_isolated("\n".join(lines), script, *arguments, env=PLAIN_NETWORK, options=options)
    else:
        options += ["-m", "corolib.monkey"]
        patched = run_isolated(script, *arguments, env=PLAIN_NETWORK, options=options)
    assert plain.stderr == ""
    assert patched.stderr == ""
    assert patched.stdout == plain.stdout
    return patched.stdout

# Sourced by ./demo, ./test and ./check: makes a virtual environment with corolib built into it.
#
# Installs from the system's packages only what is missing, and only where there is apt-get; elsewhere it says what is
# needed. Environment: PYTHON, the interpreter to use (python3); COROLIB_VENV, where the environment goes (.venv);
# COROLIB_CHECK=1, a build with assertions; COROLIB_ARCH=ucontext, a build without assembler. pip's own variables and
# configuration are in force.

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# Does the C compiler accept this line?
compiles() {
    printf '%s\n#include <stdio.h>\n' "$1" | ${CC:-cc} ${CPPFLAGS:-} ${CFLAGS:-} -fsyntax-only -x c - >/dev/null 2>&1
}

install_packages() {
    needed="corolib needs $*"
    command -v apt-get >/dev/null 2>&1 ||
        die "$needed (Debian's names; on Fedora gcc libev-devel python3-devel, with Homebrew libev): please install them and try again."
    if [ "$(id -u)" -eq 0 ]; then
        as_root=env
    elif command -v sudo >/dev/null 2>&1; then
        as_root="sudo env"
    else
        die "$needed: run this as root, or install them with: apt-get install $*"
    fi
    say "installing $*"
    log=$(mktemp)
    # Another apt-get may be at work, as on a machine that has just started.
    { $as_root DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 update -q &&
        $as_root DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q \
            --no-install-recommends "$@"; } >"$log" 2>&1 || {
        cat "$log" >&2
        rm -f "$log"
        die "$needed, and apt-get could not install them."
    }
    rm -f "$log"
}

# need_tools PROGRAM:PACKAGE ...: installs the packages (Debian's names) whose programs are not there. Servers stand where only
# administrators look, and PostgreSQL's in a place of their own.
need_tools() {
    missing=
    for tool in "$@"; do
        PATH=$PATH:/usr/sbin:$(echo /usr/lib/postgresql/*/bin | tr " " :) command -v "${tool%%:*}" >/dev/null 2>&1 ||
            missing="$missing ${tool#*:}"
    done
    # Word splitting is meant: a list.
    # shellcheck disable=SC2086
    [ -z "$missing" ] || install_packages $missing
}

# Sets $python to an interpreter that is new enough.
find_python() {
    python=${PYTHON:-python3}
    if ! command -v "$python" >/dev/null 2>&1; then
        [ -z "${PYTHON:-}" ] || die "PYTHON is '$PYTHON': there is no such program."
        # A bare system: all at once, what is there already is left as it is.
        install_packages python3 python3-venv python3-dev gcc libc6-dev libev-dev
    fi
    case $python in
        /*) ;;
        */*) python=$PWD/$python ;;
    esac
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "corolib needs Python 3.11 or newer, found $("$python" --version 2>&1): set PYTHON to a newer one."
}

# What has to be there before pip can build, by the name of Debian's package.
find_packages() {
    missing=
    compiles "" || missing="gcc libc6-dev"
    # Without a compiler nothing can be tried, so look where the header would be.
    if [ -n "$missing" ]; then
        [ -e /usr/include/ev.h ] || missing="$missing libev-dev"
    else
        compiles "#include <ev.h>" || missing="libev-dev"
    fi
    # Debian's packages are for Debian's interpreters; any other one brings its own parts.
    about=$("$python" - <<'END'
import importlib.util, os, sys, sysconfig
base = "python3" if os.path.realpath("/usr/bin/python3") == os.path.realpath(sys.executable) else ""
base = base or "python%d.%d" % sys.version_info[:2]
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    print(base + "-dev")
if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
    print(base + "-venv")
END
    )
    # Word splitting is meant: a list.
    missing="$missing $about"
    # shellcheck disable=SC2086
    set -- $missing
    [ $# -eq 0 ] || install_packages "$@"
}

# All that a build depends on, as one line.
fingerprint() {
    {
        "$python" -c 'import sys; print(sys.version, sys.base_prefix)'
        printf '%s\n' "${COROLIB_CHECK:-} ${COROLIB_ARCH:-} ${CC:-} ${CFLAGS:-} ${CPPFLAGS:-} ${LDFLAGS:-}"
        find corolib -name '*.[chS]' -exec cksum {} + | LC_ALL=C sort
        cksum setup.py pyproject.toml corolib/_ev/build.py
    } | cksum
}

# setup_env ROOT EXTRAS: afterwards the current folder is ROOT, and $venv/bin/python has corolib with these extras.
setup_env() {
    find_python
    cd "$1"
    venv=${COROLIB_VENV:-$1/.venv}
    stamp=$venv/.corolib
    print=$(fingerprint)
    if [ -x "$venv/bin/python" ] && [ "$(sed -n 1p "$stamp" 2>/dev/null)" = "$print" ]; then
        case ",$(sed -n 2p "$stamp")," in *",$2,"*) return ;; esac
    fi
    find_packages
    say "building corolib in $venv (a minute or two the first time)"
    rm -f "$stamp"
    "$venv/bin/python" -c '' 2>/dev/null && same_version || "$python" -m venv --clear "$venv" ||
        die "'$python -m venv $venv' failed."
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$2]" ||
        die "corolib could not be built: the reason stands above."
    printf '%s\n%s\n' "$print" "$2" >"$stamp"
}

# Is the environment one of the interpreter that is asked for?
same_version() {
    ask='import sys; print(sys.version, sys.base_prefix)'
    [ "$("$venv/bin/python" -c "$ask")" = "$("$python" -c "$ask")" ]
}

#!/usr/bin/env bash
# Builds the virtual environment from pinned versions (constraints.txt). `make setup` runs it.
#
# Run it as often as you like: an up-to-date environment is left alone, an interrupted one is
# repaired. An environment that this script did not make is added to, and what it has is kept.
#
# Variables: VENV (default .venv), PYTHON (default: the first Python 3.11+ found),
#   DETECTRON2 = pypi (default) | git (official source, compiled; needs GitHub and a C++ compiler).
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="${VENV:-$ROOT/.venv}"
[[ "$VENV" = /* ]] || VENV="$PWD/$VENV"
PY="$VENV/bin/python"

# The PyPI build of Detectron2's late-2024 main. Its tag is cp310 but its Python files run on later
# versions; its metadata asks for numpy<2, which it does not need. Hence no dependencies, other tag.
D2_WHEEL="sal-detectron2==0.7.2"
D2_SHA256="491af0c7f79bdb2d178e46f6cb16a97c4ac968d45c41ea3f6b6435d59bbee561"
# A commit of official main: the one that Meta's SAM 3D Body (2025) installs.
D2_COMMIT="a1ce2f956a1d2212ad672e3c47d53405c2fe4312"
D2_URL="https://github.com/facebookresearch/detectron2.git"
# What Detectron2 imports; both ways of installing it leave its dependencies to us.
D2_NEEDS=(cloudpickle fvcore hydra-core iopath matplotlib "omegaconf<2.4" packaging Pillow
    pycocotools tabulate tensorboard termcolor tqdm yacs)
MIN_FREE_GB=10 # measured: 6 GB stay, at the most 9 GB are used for a while

# State, all inside the environment so that deleting it forgets everything.
OWNED="$VENV/.lt_det_owned" # made by this script: it may be emptied and rebuilt
BUSY="$VENV/.lt_det_busy" # pip is writing; found at the start, it was killed half-way
STAMP="$VENV/.lt_det_stamp" # written last: what the finished environment was built from
D2_RECORD="$VENV/.lt_det_detectron2" # the Detectron2 that this script installed
D2_PART="$VENV/detectron2.part" # the one being fetched or built

say() { echo "setup: $*"; }

die() {
    echo "setup: ERROR: $*" >&2
    exit 1
}

site_listing() {
    ls -A "$SITE" | cksum
}

# pip, marked as writing. The mark stays after a kill, or a failure that left half a package (disk
# full); the next run then starts afresh. A failed download leaves no mark and costs nothing.
# Arguments: what is installed (for the message), pip's verb, pip's arguments.
run_pip() {
    local what="$1" verb="$2" before quiet=()
    shift 2
    [ -t 1 ] || quiet=(--quiet)
    before="$(site_listing)"
    touch "$BUSY"
    # Downloads are unpacked next to the environment: /tmp is often a small memory disk.
    mkdir -p "$VENV/tmp"
    local status=0
    TMPDIR="$VENV/tmp" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 \
        "$PY" -m pip "$verb" ${quiet[@]+"${quiet[@]}"} "$@" || status=$?
    rm -rf "$VENV/tmp"
    if [ "$status" -eq 0 ] || [ "$before" = "$(site_listing)" ]; then
        rm -f "$BUSY"
    fi
    [ "$status" -eq 0 ] || die "pip failed to install $what (its message is above). Check the" \
        "network, PIP_INDEX_URL and the free disk space, then run \`make setup\` again."
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

pip_install() {
    local what="$1"
    shift
    run_pip "$what" install "$@"
}

has_module() {
    "$PY" -c "import importlib.util as u, sys; sys.exit(u.find_spec('$1') is None)" 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    local first="${PYTHON:-python3}"
    die "Python 3.11 or newer is needed (the pinned NumPy has no wheel for older ones), but $first" \
        "is $("$first" --version 2>&1 || echo 'not there'). Install one, then run" \
        "\`make setup PYTHON=/path/to/python3.11\`."
}

check_disk() {
    local free_kb
    free_kb="$(df -Pk "$VENV" | awk 'NR == 2 {print $4}')"
    [ "$free_kb" -ge $((MIN_FREE_GB * 1000 * 1000)) ] || die "$MIN_FREE_GB GB of free disk space" \
        "are needed (PyTorch and its CUDA libraries), $VENV has $((free_kb / 1000 / 1000)) GB." \
        "Free some, or put the environment elsewhere: \`make setup VENV=/big/disk/venv\`."
}

# One environment, one writer. Without flock (macOS) two set-ups at once are the user's to avoid.
lock() {
    mkdir -p "$VENV"
    command -v flock >/dev/null || return 0
    exec 9>"$VENV/.lt_det_lock"
    flock --nonblock 9 && return 0
    say "waiting for another \`make setup\` of $VENV"
    flock 9
}

empty_venv() {
    find "$VENV" -mindepth 1 -maxdepth 1 ! -name .lt_det_lock -exec rm -rf {} +
}

make_venv() {
    if [ -e "$BUSY" ] && [ -e "$OWNED" ]; then
        say "the last set-up was interrupted while installing: starting afresh"
        empty_venv
    fi
    rm -f "$STAMP"
    if [ -x "$PY" ] && "$PY" -m pip --version >/dev/null 2>&1; then
        return
    fi
    local python
    python="$(find_python)"
    if [ -e "$VENV/pyvenv.cfg" ] && [ ! -e "$OWNED" ]; then
        die "$VENV is an environment without a working Python or pip, and not one that make setup" \
            "made. Repair or delete it, or choose another: \`make setup VENV=...\`."
    fi
    touch "$OWNED"
    say "making $VENV with $("$python" --version)"
    "$python" -m venv "$VENV" || die "$python -m venv failed (its message is above). On Debian and" \
        "Ubuntu install the package python3-venv, then run \`make setup\` again."
}

# Prints the constraints: the pins, except that an environment of the user's keeps what it has
# (other than the tools of building and testing).
write_constraints() {
    if [ -e "$OWNED" ]; then
        cat "$ROOT/constraints.txt"
        return
    fi
    "$PY" - "$ROOT/constraints.txt" <<'PYTHON'
import sys
from importlib import metadata

TOOLS = ("pip", "setuptools", "pytest", "pytest-xdist", "ruff")
for line in open(sys.argv[1], encoding="utf-8").read().splitlines():
    name = line.split("==")[0]
    try:
        keep = "==" in line and name not in TOOLS
        print(f"{name}=={metadata.version(name)}" if keep else line)
    except metadata.PackageNotFoundError:
        print(line)
PYTHON
}

install_packages() {
    local constraints="$VENV/.lt_det_constraints.txt"
    write_constraints >"$constraints"
    say "installing pip and setuptools"
    pip_install "pip and setuptools" -c "$constraints" pip "setuptools<81"
    has_module torch || check_disk
    say "installing PyTorch and the other packages (5 GB, some minutes)"
    # Source packages build with the pinned setuptools, not with whatever is newest today.
    pip_install "the packages of constraints.txt" -c "$constraints" --no-build-isolation \
        torch torchvision "${D2_NEEDS[@]}" -e "$ROOT[openmoji,fast,dev]"
}

# lvis draws with OpenCV, whose ordinary build needs the system's libGL: absent in bare containers.
fix_opencv() {
    "$PY" -c "import cv2" 2>/dev/null && return
    local version
    version="$(sed -n 's/^opencv-python==//p' "$ROOT/constraints.txt")"
    say "OpenCV does not load here (no libGL?): using its headless build"
    "$PY" -m pip uninstall --quiet --yes opencv-python
    pip_install "opencv-python-headless" --no-deps "opencv-python-headless==$version"
}

d2_wanted() {
    local mode="${DETECTRON2:-}"
    # Without a wish the choice of the last set-up stands: `make test` must not undo it.
    [ -n "$mode" ] || mode="$(sed 's/ .*//' "$D2_RECORD" 2>/dev/null || true)"
    case "${mode:-pypi}" in
        pypi) echo "pypi $D2_WHEEL $D2_SHA256" ;;
        git) echo "git $D2_COMMIT" ;;
        *) die "DETECTRON2=$mode is unknown; use pypi or git" ;;
    esac
}

# Prints what is wrong with the Detectron2 that is there; nothing if it can be used.
d2_problem() {
    local message
    message="$(cd "$ROOT" && "$PY" -W ignore -m lt_det.utils.compat 2>&1)" ||
        echo "${message:-Python crashed while importing it.}"
}

install_detectron2() {
    local wanted="$1" problem record=""
    [ ! -e "$D2_RECORD" ] || record="$(cat "$D2_RECORD")"
    if has_module detectron2; then
        problem="$(d2_problem)"
        if [ -z "$problem" ] && { [ -z "$record" ] || [ "$record" = "$wanted" ]; }; then
            say "using the Detectron2 that is there"
            return
        fi
        [ -e "$OWNED" ] || [ -n "$record" ] || die "the Detectron2 in $VENV cannot be used: $problem" \
            "It is not one that make setup installed, so it stays; uninstall it or choose another" \
            "environment (VENV=...)."
    fi
    rm -rf "$D2_PART"
    mkdir "$D2_PART"
    case "$wanted" in
        pypi*) install_detectron2_pypi "$wanted" ;;
        git*) install_detectron2_git "$wanted" ;;
    esac
    rm -rf "$D2_PART"
    problem="$(d2_problem)"
    [ -z "$problem" ] || die "Detectron2 was installed but does not work: $problem"
}

# Called when the new one is at hand, so that a failed download or build takes nothing away.
replace_detectron2() {
    echo "$1" >"$D2_RECORD"
    "$PY" -m pip uninstall --quiet --yes detectron2 sal-detectron2 2>/dev/null || true
    rm -rf "$SITE/detectron2" "$SITE"/sal_detectron2-*.dist-info
}

install_detectron2_pypi() {
    say "installing Detectron2 (PyPI wheel $D2_WHEEL)"
    echo "$D2_WHEEL --hash=sha256:$D2_SHA256" >"$D2_PART/requirements.txt"
    pip_install "$D2_WHEEL" --no-deps --only-binary=:all: --python-version 3.10 \
        --require-hashes -r "$D2_PART/requirements.txt" --target "$D2_PART/site"
    # The wheel also carries Detectron2's own `tools` as a top-level package. It would shadow ours,
    # so it stays behind. Neither that nor the wrong metadata should make `pip check` complain.
    local info=("$D2_PART"/site/sal_detectron2-*.dist-info)
    sed -i.bak '/^tools\//d' "${info[0]}/RECORD"
    sed -i.bak '/^Requires-Dist: black/d; s/^\(Requires-Dist: numpy\)<2/\1/' "${info[0]}/METADATA"
    sed -i.bak 's/^Tag: .*/Tag: py3-none-any/' "${info[0]}/WHEEL"
    rm -f "${info[0]}"/*.bak
    replace_detectron2 "$1"
    mv "$D2_PART/site/detectron2" "${info[0]}" "$SITE/"
}

install_detectron2_git() {
    command -v git >/dev/null || die "DETECTRON2=git needs git; install it or use DETECTRON2=pypi"
    command -v "${CXX:-c++}" >/dev/null || die "DETECTRON2=git compiles C++ and needs a compiler" \
        "(Debian, Ubuntu: build-essential); install one, set CXX, or use DETECTRON2=pypi"
    say "building Detectron2 from $D2_URL at $D2_COMMIT (some minutes)"
    # Its build imports torch, so it must see this environment.
    run_pip "Detectron2 from GitHub (DETECTRON2=pypi needs neither GitHub nor a compiler)" wheel \
        --no-deps --no-build-isolation --wheel-dir "$D2_PART" "git+$D2_URL@$D2_COMMIT"
    replace_detectron2 "$1"
    pip_install "the Detectron2 just built" --no-deps "$D2_PART"/detectron2-*.whl
}

# Prints what a finished environment depends on, as one number.
fingerprint() {
    { echo "$ROOT" "$1" && cat "$ROOT/constraints.txt" "$ROOT/setup.py" "${BASH_SOURCE[0]}"; } | cksum
}

is_current() {
    [ -e "$STAMP" ] && [ ! -e "$BUSY" ] && [ "$(cat "$STAMP")" = "$(fingerprint "$1")" ] &&
        has_module detectron2
}

main() {
    local wanted
    wanted="$(d2_wanted)"
    ! is_current "$wanted" || return 0
    trap 'say "interrupted; run \`make setup\` again to go on"; exit 130' INT TERM
    lock
    ! is_current "$wanted" || return 0 # another process did it meanwhile
    local start="$SECONDS"
    make_venv
    SITE="$("$PY" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
    install_packages
    fix_opencv
    install_detectron2 "$wanted"
    "$PY" -c "import lt_det, lvis, pycocotools.mask" || die "the finished environment does not import"
    fingerprint "$wanted" >"$STAMP"
    say "ready after $((SECONDS - start)) s: $VENV"
}

main

# shellcheck shell=bash
# Functions for the scripts in this folder. Source it from bash with `set -euo pipefail`:
#
#     . "$(dirname "$0")/lib.sh"
#
#     as_root                    an array to put in front of a command that needs root
#     cache_folder               prints the folder for everything that is made once and kept
#     fail MESSAGE               prints an error and ends the script with 1
#     with_lock NAME COMMAND...  runs COMMAND while no other script holds the lock NAME
#     made_once NAME STAMP CONTENT COMMAND...
#                                prints the cache folder NAME; unless its file STAMP has CONTENT,
#                                COMMAND gets an empty folder as its last argument and fills it
#     cargo_tool NAME VERSION    prints a folder with this program in bin/, built from crates.io
#     install_packages NAME...   installs missing packages, without starting services
#     python_environment [NAME]  prints a Python with requirements.txt of tests (or NAME)
#     node_packages              prints a folder with tests/package.json installed
#     postgres_programs          prints the folder with PostgreSQL's server programs
#     require_rust               makes sure that there are cargo and a C compiler
#     build_daemon               builds easy-invite (debug) and prints the path of the binary

shopt -s inherit_errexit # a failure inside "$(...)" is a failure too
repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

cache_folder() {
    local folder="${EASY_INVITE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/easy-invite}"
    mkdir -p "$folder"
    printf '%s\n' "$folder"
}

as_root=()
((EUID == 0)) || as_root=(sudo env "PATH=$PATH" "EASY_INVITE_CACHE=$(cache_folder)")

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

with_lock() {
    local lock
    lock="$(cache_folder)/$1.lock"
    shift
    # The lock belongs to the open file, so it ends with this process. `9>&-` keeps it from children
    # of the command that live longer.
    (
        flock 9
        "$@" 9>&-
    ) 9>"$lock"
}

made_once() {
    with_lock "$1" make_once "$@"
}

make_once() {
    local folder stamp="$2" content="$3"
    folder="$(cache_folder)/$1"
    shift 3
    if [[ "$(cat "$folder/$stamp" 2>/dev/null || true)" != "$content" ]]; then
        rm -rf "$folder"
        mkdir -p "$folder"
        "$@" "$folder" >&2
        printf '%s\n' "$content" >"$folder/$stamp" # last: a folder without it is incomplete
    fi
    printf '%s\n' "$folder"
}

cargo_tool() {
    made_once "$1" version "$2" cargo install --quiet --locked "$1" --version "$2" --root
}

is_installed() {
    [[ "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null || true)" == installed ]]
}

install_packages() {
    local name missing=()
    for name in "$@"; do
        is_installed "$name" || missing+=("$name")
    done
    ((${#missing[@]} == 0)) && return
    printf 'Installing %s\n' "${missing[*]}" >&2
    with_lock packages install_missing_packages "${missing[@]}"
}

# In a subshell, so that the trap is its own, and policy-rc.d is removed in any case.
install_missing_packages() (
    ((EUID == 0)) || command -v sudo >/dev/null || fail "these packages are missing, and installing them needs root: $*"
    # Debian's maintainer scripts ask this file whether they may start a service. 101 means no.
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap '"${as_root[@]}" rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
    fi
    # apt's output is shown only if it fails.
    if ! said="$({
        "${as_root[@]}" apt-get update -q &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=600 "$@"
    } 2>&1)"; then
        printf '%s\n' "$said" >&2
        fail "apt-get could not install $*"
    fi
)

python_environment() {
    local list="$repository/${1:-tests}/requirements.txt" folder
    folder="$(made_once "python${1:+-$1}" requirements.txt "$(cat "$list")" install_python "$list")"
    printf '%s\n' "$folder/bin/python"
}

install_python() {
    printf 'Installing the Python packages of %s\n' "$1"
    python3 -m venv "$2"
    "$2/bin/python" -m pip install --quiet --requirement "$1"
}

node_packages() {
    local list="$repository/tests/package.json" folder
    command -v npm >/dev/null || install_packages nodejs npm
    folder="$(made_once node installed.json "$(cat "$list")" install_node "$list")"
    printf '%s\n' "$folder/node_modules"
}

install_node() {
    printf 'Installing the npm packages of %s\n' "$1"
    cp "$1" "$2/package.json"
    npm install --prefix "$2" --no-audit --no-fund --no-package-lock --loglevel=error
}

# Debian has a folder for each major version. The newest is used.
postgres_programs() {
    local programs
    programs="$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort --version-sort | tail -n 1)"
    [[ -x $programs ]] || fail "PostgreSQL's server is not installed (Debian: apt-get install postgresql)"
    dirname "$programs"
}

require_rust() {
    # rustup's folder, for a shell that has not read the user's profile.
    command -v cargo >/dev/null || PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
    command -v cargo >/dev/null || fail "Rust is missing: install it, for example with rustup, and have cargo in \$PATH"
    command -v cc >/dev/null || install_packages gcc libc6-dev
}

# Asking for the examples makes cargo build the dependencies with the features
# that `cargo test` needs. Otherwise the tests would build them again.
build_daemon() {
    local messages
    messages="$(cargo build --manifest-path "$repository/Cargo.toml" --locked --bin easy-invite --examples \
        --message-format json-render-diagnostics)"
    sed --quiet '/"kind":\["bin"\]/s/.*"executable":"\([^"]*\)".*/\1/p' <<<"$messages"
}

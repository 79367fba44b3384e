# shellcheck shell=bash
# What the scripts of this folder share. Source it from bash with `set -euo pipefail`:
#
#     . "$(dirname "$0")/lib.sh"
#
#     cache_folder               prints the folder for what is made once and kept
#     fail MESSAGE               says why the script ends, and ends it with 1
#     with_lock NAME COMMAND...  runs COMMAND while no other script holds the lock NAME
#     install_packages NAME...   installs the packages that are missing; no service is started
#     python_environment [NAME]  prints the path of a Python with requirements.txt of tests, or of NAME, installed
#     node_packages              prints the path of a folder that has tests/package.json installed
#     postgres_programs          prints the folder with PostgreSQL's server programs
#     require_rust               makes sure that cargo can be called, and has a compiler for C beside it
#     build_daemon               builds easy-invite (debug) and prints the path of the binary

shopt -s inherit_errexit # a failure inside "$(...)" is a failure too
repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

cache_folder() {
    local folder="${EASY_INVITE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/easy-invite}"
    mkdir -p "$folder"
    printf '%s\n' "$folder"
}

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

with_lock() {
    local lock
    lock="$(cache_folder)/$1.lock"
    shift
    # The lock belongs to the open file, so it ends with this process, however that ends. `9>&-` keeps it from the
    # command's own children, which may stay.
    (
        flock 9
        "$@" 9>&-
    ) 9>"$lock"
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

# Only for install_packages. The subshell makes the trap its own: policy-rc.d goes whatever happens here.
install_missing_packages() (
    as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail "these packages are missing, and installing them takes root: $*"
        as_root=(sudo)
    fi
    # Debian's maintainer scripts ask this file whether they may start a service: 101 is "no".
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap '"${as_root[@]}" rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
    fi
    # What apt says is of interest if it fails.
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
    with_lock "python${1:+-$1}" make_python_environment "$@"
}

# Only for python_environment. The copy of the requirements is written last: an environment without it is half-made.
make_python_environment() {
    local folder wanted="$repository/${1:-tests}/requirements.txt"
    folder="$(cache_folder)/python${1:+-$1}"
    if ! cmp --silent "$wanted" "$folder/requirements.txt"; then
        printf 'Installing what the %s need of Python\n' "${1:-tests}" >&2
        rm -rf "$folder"
        python3 -m venv "$folder" >&2
        "$folder/bin/python" -m pip install --quiet --requirement "$wanted" >&2
        cp "$wanted" "$folder/requirements.txt"
    fi
    printf '%s\n' "$folder/bin/python"
}

node_packages() {
    command -v npm >/dev/null || install_packages nodejs npm
    with_lock node make_node_packages
}

# Only for node_packages. The copy of the list is written last: a folder without it is half-made.
make_node_packages() {
    local folder wanted="$repository/tests/package.json"
    folder="$(cache_folder)/node"
    if ! cmp --silent "$wanted" "$folder/installed.json"; then
        printf 'Installing what the tests need of npm\n' >&2
        rm -rf "$folder"
        mkdir -p "$folder"
        cp "$wanted" "$folder/package.json"
        npm install --prefix "$folder" --no-audit --no-fund --no-package-lock --loglevel=error >&2
        cp "$wanted" "$folder/installed.json"
    fi
    printf '%s\n' "$folder/node_modules"
}

# Debian keeps those of each major version apart. The newest that is there.
postgres_programs() {
    local programs
    programs="$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort --version-sort | tail -n 1)"
    [[ -x $programs ]] || fail "PostgreSQL's server is not installed (Debian: apt-get install postgresql)"
    dirname "$programs"
}

require_rust() {
    # Where rustup puts it: a shell that has not read the user's profile does not know yet.
    command -v cargo >/dev/null || PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
    command -v cargo >/dev/null || fail "Rust is missing: install it, for example with rustup, and have cargo in \$PATH"
    command -v cc >/dev/null || install_packages gcc libc6-dev
}

# There are no examples. But what could be asked for with them makes cargo build the dependencies as `cargo test` does,
# which wants more of some of them: without, it builds these and all that stands on them once more.
build_daemon() {
    local messages
    messages="$(cargo build --manifest-path "$repository/Cargo.toml" --locked --bin easy-invite --examples \
        --message-format json-render-diagnostics)"
    sed --quiet 's/.*"executable":"\([^"]*\)".*/\1/p' <<<"$messages"
}

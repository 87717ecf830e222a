# The host's side of scripts/demo and scripts/bench: runs a Python program in the environment of scripts/env and sees to it
# that its figures get to where they were asked for. Sourced; $json is the file asked for, or empty.

here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
work=
child=

die() { echo "scripts/${0##*/}: $*" >&2; exit 2; }

need_number() { # option, value, least, most
    [[ ${2-} =~ ^[0-9]{1,9}$ ]] && [ "$((10#$2))" -ge "$3" ] && [ "$((10#$2))" -le "$4" ] ||
        die "$1 takes a number from $3 to $4"
}

finish() { # the figures are there whole or not at all
    local status=$?
    trap - EXIT
    if [ -n "$json" ]; then
        [ -e "$work/figures.json" ] ||
            printf '{"ok": false, "error": "it ended with status %d before it had figures"}\n' $status >"$work/figures.json"
        { cp "$work/figures.json" "$json.$$" && mv -f "$json.$$" "$json"; } || { rm -f "$json.$$"; status=1; }
    fi
    if [ -n "${html-}" ] && [ -e "$work/page.html" ]; then
        { cp "$work/page.html" "$html.$$" && mv -f "$html.$$" "$html"; } || { rm -f "$html.$$"; status=1; }
    fi
    rm -rf "$work"
    exit $status
}

run_program() { # program, arguments
    local status=0
    [ "$(id -u)" = 0 ] || die "must be root: it makes network namespaces and reserves hugepages; run with sudo"
    if [ -n "$json" ]; then
        [ ! -d "$json" ] && { : >"$json.$$"; } 2>/dev/null && rm -f "$json.$$" ||
            die "--json: $json cannot be written: name a file in a folder that is there and writable"
    fi
    if [ -n "${html-}" ]; then
        [ ! -d "$html" ] && { : >"$html.$$"; } 2>/dev/null && rm -f "$html.$$" ||
            die "--html: $html cannot be written: name a file in a folder that is there and writable"
    fi
    work=$(mktemp -d "${TMPDIR:-/tmp}/hardline-${0##*/}.XXXXXX")
    trap finish EXIT
    trap '[ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true' INT TERM HUP
    "$here/env" python3 "$here/lib/$1" --figures "$work/figures.json" "${@:2}" </dev/null &
    child=$!
    wait $child || status=$?
    while kill -0 $child 2>/dev/null; do # a signal ended that wait, not the program
        status=0
        wait $child || status=$?
    done
    exit $status
}

#!/bin/sh
# Puts what the program imports into the environment of a prefix; `make install` calls it, unless it is given an INTERPRETER.
#
#   PREFIX, DESTDIR  as for install.sh
#   PYTHON           makes the environment
#   EXTRAS           what is wanted besides trading, of pyproject.toml: cpu or gpu, and train where jobs run here
#
# An environment that has what this version wants is left alone. One that a daemon runs in is not changed under it.
set -eu

SOURCE=$(cd "$(dirname "$0")/.." && pwd) DESTDIR=${DESTDIR:-}
VENV=$DESTDIR$PREFIX/venv MARK=$DESTDIR$PREFIX/venv/.regimen
wanted=$(cat "$SOURCE/pyproject.toml" "$SOURCE/constraints.txt" && echo "$EXTRAS")
wanted=$(echo "$wanted" | sha256sum | cut -c1-64)

if [ -x "$VENV/bin/python" ]; then
    [ "$(cat "$MARK" 2>/dev/null)" != "$wanted" ] || exit 0
    if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
        . "$SOURCE/systemd/idle.sh"
        refuse_under_way "this version wants other libraries, and UNIT.service runs with those in $VENV (STATE); stop it first: systemctl stop UNIT"
    fi
else
    "$PYTHON" -m venv "$VENV"
    : >"$MARK" # ours, so uninstalling takes it away
fi
[ ! -e "$MARK" ] || : >"$MARK" # cut off from here on, it is done again

lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
"$VENV/bin/python" - "$SOURCE/pyproject.toml" "$EXTRAS" >"$lines" <<'END'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
extras = project["optional-dependencies"]
for name in filter(None, sys.argv[2].split(",")):
    if name not in extras:
        sys.exit(f"EXTRAS={sys.argv[2]}: there is no {name}; choose of {', '.join(extras)}")
    project["dependencies"] += extras[name]
print(*project["dependencies"], sep="\n")
END
# the libraries alone: the program is no package, and building one would leave build/ in the checkout
"$VENV/bin/python" -m pip install --disable-pip-version-check --quiet --constraint "$SOURCE/constraints.txt" --requirement "$lines"
if [ -n "$DESTDIR" ]; then # commands name the Python that they will be beside, not the image's
    for folder in "$VENV" "$(cd "$VENV" && pwd)" "$(cd "$VENV" && pwd -P)"; do
        grep -rlI -F "$folder" "$VENV/bin" "$VENV/pyvenv.cfg" | while read -r file; do
            sed -i "s|$folder|$PREFIX/venv|g" "$file"
        done
    done
fi
[ ! -e "$MARK" ] || echo "$wanted" >"$MARK"

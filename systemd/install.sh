#!/bin/sh
# Puts Regimen into a prefix and its units, configuration and user into place; `make install` calls it.
#
#   PREFIX       where program and environment go (/opt/regimen)
#   DESTDIR      put before every path, for packages and images; nothing is started or enabled then
#   SYSCONFDIR   the configuration's folder (/etc/regimen)
#   UNITDIR      the units' folder (/etc/systemd/system)
#   INTERPRETER  the Python that runs it, with everything installed that it needs
#
# A configuration file that was edited is never overwritten: a newer one is put beside it as FILE.new.
# The program is put beside the one that runs, under its own name, and a link is turned: a daemon that runs keeps its folder,
# and what it has not imported yet, until it is restarted. The version before stays; `lib/regimen.previous` leads to it.
set -eu

SYSCONFDIR=${SYSCONFDIR:-/etc/regimen} UNITDIR=${UNITDIR:-/etc/systemd/system} DESTDIR=${DESTDIR:-}
SYSUSERSDIR=${SYSUSERSDIR:-/etc/sysusers.d} TMPFILESDIR=${TMPFILESDIR:-/etc/tmpfiles.d}
STATE=/var/lib/regimen CODE=$PREFIX/lib/regimen PRISTINE=$PREFIX/share/regimen
HERE=$(cd "$(dirname "$0")" && pwd)
SOURCE=$(dirname "$HERE")

for path in "$PREFIX" "$SYSCONFDIR" "$UNITDIR" "$INTERPRETER"; do
    case $path in
    /*[!A-Za-z0-9/._+-]*) echo "$path: units cannot name a path with such characters; choose another" >&2; exit 2 ;;
    /*) ;;
    *) echo "$path: give a path from / on" >&2; exit 2 ;;
    esac
done

for path in "$PREFIX" "$INTERPRETER" "$(readlink -f "$INTERPRETER" || true)"; do # the last: where a virtual environment's Python is
    case $path in
    /home/* | /root/* | /run/* | /tmp/* | /var/* | /boot/* | /srv/* | /media/* | /mnt/*)
        [ -n "$DESTDIR" ] && continue # an image is made elsewhere
        echo "$path: the units see nothing there, or may run nothing of it; choose another PREFIX, or a Python of the system" >&2
        exit 2
        ;;
    esac
done

filled() { # the text of a template, its places filled in
    sed -e "s|@PYTHON@|$INTERPRETER|g; s|@CODE@|$CODE|g; s|@ETC@|$SYSCONFDIR|g; s|@STATE@|$STATE|g" "$1"
}

put() { # TEMPLATE TARGET: replaced as a whole, never half written
    mkdir -p "$(dirname "$DESTDIR$2")"
    filled "$1" >"$DESTDIR$2.partial"
    chmod 0644 "$DESTDIR$2.partial"
    mv -f "$DESTDIR$2.partial" "$DESTDIR$2"
}

configure() { # TEMPLATE NAME: only over a file that is as the last installation left it
    target=$SYSCONFDIR/$2 last=$PRISTINE/$2
    filled "$1" >"$DESTDIR$last.partial"
    if [ ! -e "$DESTDIR$target" ] || cmp -s "$DESTDIR$target" "$DESTDIR$last"; then
        put "$1" "$target"
    elif ! cmp -s "$DESTDIR$target" "$DESTDIR$last.partial" && ! cmp -s "$DESTDIR$last" "$DESTDIR$last.partial"; then
        put "$1" "$target.new"
        echo "kept your $target; what this version brings is in $target.new" >&2
    fi
    mv -f "$DESTDIR$last.partial" "$DESTDIR$last"
}

content() { # DIR: what names its content, whatever was compiled of it
    (cd "$1" && find . -type f ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum | cut -c1-12
}

turn() { # LINK TARGET: at one instant
    ln -sfn "$2" "$DESTDIR$1.partial"
    mv -fT "$DESTDIR$1.partial" "$DESTDIR$1"
}

in_use() { # whether some process is in the folder, as the daemon is in its own
    for cwd in /proc/[0-9]*/cwd; do
        [ "$(readlink "$cwd" || true)" != "$(readlink -f "$1")" ] || return 0
    done
    return 1
}

# program: whole and new, or the old one
mkdir -p "$DESTDIR$PREFIX/lib" "$DESTDIR$PREFIX/bin" "$DESTDIR$PRISTINE"
rm -rf "$DESTDIR$CODE.partial"
mkdir "$DESTDIR$CODE.partial"
for part in configs market models strategy training backtest daemon docs; do
    (cd "$SOURCE" && tar -c --exclude=__pycache__ --exclude='models/sets' --exclude='models/incoming' "$part") |
        tar -x --no-same-owner -C "$DESTDIR$CODE.partial"
done
chmod -R u=rwX,go=rX "$DESTDIR$CODE.partial"
sum=$(content "$DESTDIR$CODE.partial")
version=regimen-$(sed -n 's/^version = "\(.*\)"/\1/p' "$SOURCE/pyproject.toml")-$sum
new=$DESTDIR$PREFIX/lib/$version
if [ -d "$new" ] && [ "$(content "$new")" = "$sum" ]; then # it is there, and may be what runs
    rm -rf "$DESTDIR$CODE.partial"
else
    rm -rf "$new"
    mv "$DESTDIR$CODE.partial" "$new"
fi
if [ -x "$DESTDIR$INTERPRETER" ]; then # nobody could write that later
    "$DESTDIR$INTERPRETER" -m compileall -q -s "$new" -p "$PREFIX/lib/$version" "$new"
fi
if [ -d "$DESTDIR$CODE" ] && [ ! -L "$DESTDIR$CODE" ]; then # as earlier versions left it
    mv "$DESTDIR$CODE" "$DESTDIR$CODE-0"
    turn "$CODE" regimen-0
fi
last=$(readlink "$DESTDIR$CODE" || true)
if [ -n "$last" ] && [ "$last" != "$version" ]; then turn "$CODE.previous" "$last"; fi
turn "$CODE" "$version"
previous=$(readlink "$DESTDIR$CODE.previous" || true)
for folder in "$DESTDIR$CODE"-[0-9]*; do
    case $(basename "$folder") in "$version" | "$previous") continue ;; esac
    in_use "$folder" || rm -rf "$folder"
done
put "$HERE/regimen.sh" "$PREFIX/bin/regimen"
chmod 0755 "$DESTDIR$PREFIX/bin/regimen"

# configuration, and the folder of secrets, which root alone can read
mkdir -p "$DESTDIR$SYSCONFDIR"
[ -d "$DESTDIR$SYSCONFDIR/credentials" ] || mkdir -m 0700 "$DESTDIR$SYSCONFDIR/credentials"
configure "$HERE/daemon.yaml" daemon.yaml
configure "$HERE/environment" environment
configure "$SOURCE/configs/live_config.yaml" live_config.yaml
configure "$SOURCE/configs/demo_config.yaml" demo_config.yaml

# units, user, folders
for unit in "$HERE"/*.service "$HERE"/*.path "$HERE"/*.slice; do
    put "$unit" "$UNITDIR/$(basename "$unit")"
done
put "$HERE/regimen.sysusers" "$SYSUSERSDIR/regimen.conf"
put "$HERE/regimen.tmpfiles" "$TMPFILESDIR/regimen.conf"
if [ -z "$DESTDIR" ] && [ "$(id -u)" = 0 ]; then
    systemd-sysusers "$SYSUSERSDIR/regimen.conf"
    systemd-tmpfiles --create "$TMPFILESDIR/regimen.conf"
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
fi

cat <<END
Regimen is installed in $DESTDIR$PREFIX, its configuration in $DESTDIR$SYSCONFDIR. A daemon that runs goes on with its own version
until \`systemctl restart regimen\`. Next:
  rehearse       systemctl enable --now regimen-exchange regimen
                 $PREFIX/bin/regimen status
  credentials    one file each in $SYSCONFDIR/credentials (0600): API_KEY, API_SECRET, ALERT_URL, SSH_KEY, RAY_TOKEN
  configuration  $SYSCONFDIR/daemon.yaml; check it with $PREFIX/bin/regimen doctor
  trade          systemctl disable --now regimen-exchange; systemctl enable --now regimen
  new sets       judged here, by a unit beside the daemon: \`swapping: {supervision: unit}\` in daemon.yaml, and
                 systemctl enable --now regimen-backtest.path
  training here  make install EXTRAS=cpu,train; \`retraining: {…, local: {supervise: unit}}\` in daemon.yaml, and
                 systemctl enable --now regimen-retrain.path
END

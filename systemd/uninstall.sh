#!/bin/sh
# Takes Regimen out again; `make uninstall` calls it. State and configuration stay, unless PURGE=yes.
#
# PREFIX, DESTDIR, SYSCONFDIR and UNITDIR as for install.sh.
set -eu

SYSCONFDIR=${SYSCONFDIR:-/etc/regimen} UNITDIR=${UNITDIR:-/etc/systemd/system} DESTDIR=${DESTDIR:-}
SYSUSERSDIR=${SYSUSERSDIR:-/etc/sysusers.d} TMPFILESDIR=${TMPFILESDIR:-/etc/tmpfiles.d}
STATE=/var/lib/regimen
HERE=$(cd "$(dirname "$0")" && pwd)

manages() { [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; }

if manages; then
    . "$HERE/idle.sh"
    refuse_under_way "UNIT.service is running (STATE); stop it first: systemctl stop UNIT"
    systemctl disable --now regimen.service regimen-exchange.service regimen-retrain.path regimen-backtest.path || true
fi
for unit in "$HERE"/*.service "$HERE"/*.path "$HERE"/*.slice; do
    rm -f "$DESTDIR$UNITDIR/$(basename "$unit")"
done
rm -f "$DESTDIR$SYSUSERSDIR/regimen.conf" "$DESTDIR$TMPFILESDIR/regimen.conf" "$DESTDIR$PREFIX/bin/regimen"
rm -f "$DESTDIR$PREFIX/lib/regimen.previous"
rm -rf "$DESTDIR$PREFIX/lib/regimen" "$DESTDIR$PREFIX/lib/regimen"-[0-9]* "$DESTDIR$PREFIX/share/regimen"
# an environment of ours alone: one that was there before carries no such mark
[ ! -e "$DESTDIR$PREFIX/venv/.regimen" ] || rm -rf "$DESTDIR$PREFIX/venv"
for folder in "$PREFIX/bin" "$PREFIX/lib" "$PREFIX/share" "$PREFIX"; do
    rmdir "$DESTDIR$folder" 2>/dev/null || true # something of somebody else's is in it
done
if [ "${PURGE:-}" = yes ]; then
    rm -rf "$DESTDIR$SYSCONFDIR" "$DESTDIR$STATE" "$DESTDIR/var/cache/regimen"
    echo "Regimen is gone, its configuration, credentials, state and history with it."
else
    echo "Regimen is gone; $SYSCONFDIR (configuration, credentials) and $STATE (journal, sets) stay. PURGE=yes removes them."
fi
# what is empty says nothing; of a host the system's own folders stay, of an image they were ours
starter=$DESTDIR$STATE/models/starter
[ -e "$starter" ] || rm -f "$starter"
for folder in "$DESTDIR$STATE" "$DESTDIR/var/cache/regimen"; do
    [ ! -d "$folder" ] || find "$folder" -depth -type d -empty -delete
done
if [ -n "$DESTDIR" ] && cd "$DESTDIR"; then
    for folder in "$UNITDIR" "$SYSUSERSDIR" "$TMPFILESDIR" "$SYSCONFDIR" "$PREFIX" "$STATE" /var/cache/regimen; do
        path=${folder#/}
        while [ ! -d "$path" ] && [ "$path" != . ]; do path=$(dirname "$path"); done
        [ "$path" = . ] || rmdir -p --ignore-fail-on-non-empty "$path"
    done
fi
if manages; then systemctl daemon-reload; fi

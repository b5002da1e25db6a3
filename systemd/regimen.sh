#!/bin/sh
# The daemon's commands on this host, as the user that trades: regimen status, regimen why, regimen doctor …
# Another package's by its name first: regimen models list --root @STATE@/models.
export REGIMEN_CONFIG="${REGIMEN_CONFIG:-@ETC@/daemon.yaml}" REGIMEN_CACHE=/var/cache/regimen PYTHONDONTWRITEBYTECODE=1
cd @CODE@ || exit 1
case ${1:-} in
daemon | models | backtest | training | market) package=$1; shift ;;
*) package=daemon ;;
esac
[ "$(id -un)" = regimen ] && exec @PYTHON@ -m "$package" "$@"
[ "$(id -u)" = 0 ] || { echo "regimen: run it as root, or as the user regimen" >&2; exit 1; }
# who asked, for the audit
export LOGNAME="${SUDO_USER:-$(id -un)}" HOME=@STATE@
# these need the credentials, which that user cannot read: systemd hands them over as it does to the daemon
case $package/${1:-} in
daemon/doctor | daemon/alert)
    if [ -d /run/systemd/system ]; then
        exec systemd-run --quiet --collect --wait --pipe --working-directory="$PWD" --property=User=regimen \
            --property=Group=regimen --property=LoadCredential=REGIMEN:@ETC@/credentials/ --setenv=REGIMEN_CONFIG \
            --setenv=REGIMEN_CACHE --setenv=PYTHONDONTWRITEBYTECODE --setenv=LOGNAME --setenv=HOME \
            @PYTHON@ -m daemon "$@"
    fi
    ;;
esac
exec setpriv --reuid=regimen --regid=regimen --init-groups @PYTHON@ -m "$package" "$@"

# Sourced by what changes an installation: refuses while a daemon or a job of it is under way.

refuse_under_way() { # WHY: what is said of the unit that is, with its name for UNIT and its state for STATE
    for unit in regimen regimen-retrain regimen-backtest; do
        state=$(systemctl show --property=ActiveState --value "$unit.service")
        case $state in # `is-active` says no of what is activating: a daemon that starts, and a job for its whole run
        inactive | failed) ;;
        *)
            echo "$1" | sed "s|UNIT|$unit|g; s|STATE|$state|g" >&2
            exit 1
            ;;
        esac
    done
}

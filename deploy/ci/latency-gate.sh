#!/bin/sh
# Latency gate of a pipeline: records a service under its load and compares it with a baseline; SAVE=yes makes the baseline instead.
#
#   SERVICE    which service, as NAME=SELECTOR, for example api=port:8000
#   LOAD       the command that loads it, for as long as should be recorded; the same each time
#   BASELINE   the name of the baseline                       [main]
#   RESULTS    the directory for what the pipeline shows      [acgs-perf]
#   ACGS_PERF  how to run it                                  [sudo acgs-perf]
#   INTERVAL   how finely it is recorded                      [200ms]
#   OPTIONS    more options for `record`, for example --config objectives.toml
#
# Exit code 0: fine. 1: too slow, slower than the baseline, or events were lost. 2: nothing can be said, and why.
set -eu
: "${SERVICE:?for example api=port:8000}" "${LOAD:?the command that loads the service}"
BASELINE="${BASELINE:-main}" RESULTS="${RESULTS:-acgs-perf}" ACGS_PERF="${ACGS_PERF:-sudo acgs-perf}"
mkdir -p "$RESULTS"
# Intervals of 200 ms: a minute is 300 blocks of latencies and 30 of components.
set -- record --service "$SERVICE" --interval "${INTERVAL:-200ms}" --output "$RESULTS/report.json" ${OPTIONS:-}
if [ "${SAVE:-no}" = yes ]; then
    set -- "$@" --save-baseline "$BASELINE"
else
    set -- "$@" --against "$BASELINE" --check --junit "$RESULTS/junit.xml" --markdown "$RESULTS/summary.md"
fi
# shellcheck disable=SC2086
exec $ACGS_PERF "$@" -- sh -c "$LOAD"

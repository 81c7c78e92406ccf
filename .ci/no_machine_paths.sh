#!/usr/bin/env bash
# Fails when a committed file names a package registry or a place on somebody's machine.
set -euo pipefail
cd "$(dirname "$0")/.."

forbidden=(
  '(index-url|find-links|trusted-host)[ =]|pythonhosted\.org|://[^ ]+/simple|file:///[^ ]*wheels'
  '/\.pyenv/|/bash_jobs|/home/[a-z]+/\.(venv|cache|local/lib)'
)
[[ $PWD == /*/* ]] && forbidden+=("$PWD/") # this checkout, unless it is as short as /src

if git -c safe.directory='*' grep -nIE "${forbidden[@]/#/-e}" -- . ":!.ci/no_machine_paths.sh"; then
  echo 'The lines above name a registry or a path of one machine: take them out.' >&2
  exit 1
fi
echo 'No registry addresses, no machine paths.'

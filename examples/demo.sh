#!/usr/bin/env bash
# Back up real files, change some, back up again, restore, and prove that nothing got lost.
# `make demo` runs this; everything it writes is below ./demo.
set -euo pipefail
cd "$(dirname "$0")/.."

rm -rf demo
mkdir -p demo/docs
cd demo

export PACKRAT_CONFIG="$PWD/packrat.yaml"
export PACKRAT_STATE_DIR="$PWD/state"

bold='' plain=''
[[ -t 1 ]] && bold=$'\e[1m' plain=$'\e[0m'
say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }
run() { printf '%s$ %s%s\n' "$bold" "$*" "$plain" && "$@"; }

say 'Some real files: the Python standard library'
library=$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
tar -C "$library" --exclude=./site-packages --exclude=./dist-packages -cf - . | tar -C docs -xpf -
ln docs/os.py docs/a-hard-link.py
ln -s os.py docs/a-symlink.py
truncate --size=1G docs/a-sparse-file
du -sh docs

cat > packrat.yaml <<YAML
encryption:
  key_file: "$PWD/key"
services:
  docs:
    path: "$PWD/docs"
    schedule: "0 1 * * *"
backup:
  retain_backups: 7
  local:
    path: "$PWD/backups"
YAML
cat packrat.yaml
(umask 077 && echo 'correct horse battery staple' > password)

say 'Set up'
run packrat init --password-file password
run packrat check
run packrat plan

say 'The first backup'
run packrat backup docs

say 'Change, add, rename and delete something; only that is stored'
echo '# changed' >> docs/abc.py
cp docs/argparse.py docs/new.py
mv docs/json docs/json-renamed
rm -r docs/email
run packrat backup docs
run packrat list

say 'Restore into a fresh folder'
run packrat restore docs --to restored --yes

say 'Compare every file with the original, without packrat'
run python ../examples/same_tree.py docs restored

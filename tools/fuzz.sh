#!/usr/bin/env bash
# Runs every fuzz target of the module, sharing SECONDS among them.
# usage: tools/fuzz.sh SECONDS [TARGET-PATTERN]
set -euo pipefail
cd "$(dirname "$0")/.."
total=${1:?usage: tools/fuzz.sh SECONDS [TARGET-PATTERN]}
pattern=${2:-Fuzz}

# Only packages that mention a target are built; go test -list then says which targets they really have.
mapfile -t packages < <(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u)
targets=()
for package in "${packages[@]}"; do
  listed=$(go test -list "$pattern" "$package")
  for name in $(grep '^Fuzz' <<<"$listed" || true); do targets+=("$package $name"); done
done
if [ ${#targets[@]} -eq 0 ]; then
  echo "no fuzz target matches $pattern" >&2
  exit 1
fi

each=$((total / ${#targets[@]}))
[ "$each" -ge 1 ] || each=1
echo "${#targets[@]} targets, ${each}s each"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for target in "${targets[@]}"; do
  read -r package name <<<"$target"
  if go test -run '^$' -fuzz "^${name}\$" -fuzztime "${each}s" "$package" 2>&1 | tee "$log"; then continue; fi
  # Before Go 1.27 the end of -fuzztime can itself be reported as a failure: go.dev/issue/75804. What a target finds
  # always comes with the input that failed.
  if grep -qx ' *context deadline exceeded' "$log" && ! grep -qE 'Failing input|panic:|_test\.go:[0-9]+:' "$log"; then
    echo "$name: time was up, nothing found"
    continue
  fi
  exit 1
done

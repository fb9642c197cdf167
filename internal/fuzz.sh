#!/bin/sh
# Runs every fuzz target of the module for a while each: fuzz.sh DURATION
set -eu
cd "$(dirname "$0")/.."
for file in $(git grep -lE '^func Fuzz' -- '*_test.go' ':!bench'); do
	for name in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$file"); do
		echo "fuzz $(dirname "$file") $name"
		# Minimising inputs whose coverage varies would use up the time.
		go test -run '^$' -fuzz "^$name\$" -fuzztime "$1" -fuzzminimizetime 1x "./$(dirname "$file")"
	done
done

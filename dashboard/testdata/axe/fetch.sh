#!/bin/sh
# Fetches axe-core again, as its makers publish it on npm: the page is tested with it and does not
# hold it. Run it after changing the version here.
set -eu
cd "$(dirname "$0")"
version=4.14.1 # MPL-2.0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -xzf "$work/$(cd "$work" && npm pack --silent "axe-core@$version")" -C "$work" --strip-components 1
cp "$work/axe.min.js" "$work/LICENSE" "$work/LICENSE-3RD-PARTY.txt" .
chmod 644 axe.min.js LICENSE*

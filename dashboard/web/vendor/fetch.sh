#!/bin/sh
# Fetches the libraries of the page again, as their makers publish them on npm. Run it after changing
# a version here; VENDOR.md then needs the same version.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# take PACKAGE VERSION FILE... copies files of a package into the folder of its name.
take() {
	package=$1 version=$2
	shift 2
	mkdir -p "$work/$package" "$package"
	tar -xzf "$work/$(cd "$work" && npm pack --silent "$package@$version")" -C "$work/$package" --strip-components 1
	for file in "$@"; do
		cp "$work/$package/$file" "$package/"
	done
	chmod 644 "$package"/*
}

take echarts 6.1.0 dist/echarts.esm.min.mjs LICENSE NOTICE licenses/LICENSE-d3
take zrender 6.1.0 LICENSE # inside echarts
take tslib 2.3.0 LICENSE.txt # inside echarts
take htm 3.1.1 preact/standalone.mjs LICENSE
take preact 10.2.0 LICENSE # inside htm

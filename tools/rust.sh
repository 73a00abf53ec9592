#!/bin/sh
# Says in one line what is missing to build Rust, if something is.
set -u
here=$(dirname "$0")

give_up() {
    echo "$*" >&2
    exit 1
}

# The core needs less than what goes over a network.
least=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$here/../Cargo.toml" "$here"/../crates/*/Cargo.toml | sort --version-sort --reverse | head -n 1)

if ! command -v cargo >/dev/null 2>&1; then
    [ -x "$HOME/.cargo/bin/cargo" ] && give_up "Rust is installed, but not on the PATH: . ~/.cargo/env"
    give_up "Rust is missing: install $least or later from https://rustup.rs"
fi
version=$(rustc --version 2>/dev/null | sed 's/^rustc \([0-9.]*\).*/\1/')
[ -n "$version" ] || give_up "rustc does not run: rustup default stable"
oldest=$(printf '%s\n' "$least" "$version" | sort --version-sort | head -n 1)
[ "$oldest" = "$least" ] || give_up "Rust $version is too old, $least or later is needed: rustup update"
command -v cc >/dev/null 2>&1 ||
    give_up "Rust links with cc, and that is missing: install gcc (apt install build-essential)"

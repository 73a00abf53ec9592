//! The Rust of the documentation's pages, as tests: see `build.rs`.
#![deny(unsafe_code)]

#[cfg(doctest)]
include!(concat!(env!("OUT_DIR"), "/pages.rs"));

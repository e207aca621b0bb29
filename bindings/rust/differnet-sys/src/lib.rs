//! The C functions, structs and constants of libdifferent, named as in `differnet.h`, where they are documented.
//!
//! They are made when this crate is built, from the description of the ABI that is installed with the library
//! (`differnet.json`): what is declared here is always what is linked.
#![allow(non_camel_case_types)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

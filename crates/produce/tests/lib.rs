//! The tests of `factmill-produce` against real servers begin in `main.rs`. They are a package, so that they are
//! built without the optimization that its rows need; Cargo asks each package for a library.

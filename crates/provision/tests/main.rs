//! Private servers, held to what their documentation says.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod private_postgres;

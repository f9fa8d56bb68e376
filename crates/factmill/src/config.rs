//! `factmill.yml`: profiles and their connections, with `${VAR}` filled in from the environment
//! and from `.env`.

pub(crate) mod environment;
pub(crate) mod secret;

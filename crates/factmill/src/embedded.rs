//! The embedded profile: every server that a job needs, started privately, nothing installed.
//!
//! A folder, `.factmill` by default, holds all of it:
//!
//! | in the folder | what |
//! |---|---|
//! | `lock` | held (flock) by the process that runs the servers |
//! | `users` | held shared by every other process that uses them |
//! | `state.json` | who runs them, since when, and the broker's address |
//! | `seed` | the seed of the producer inside, so that it goes on in its sequence |
//! | `sequences/` | which sequence the producer of a job sends, and what was committed before it |
//! | `postgres/`, `mongo/`, `lake/` | the data |

mod broker;
mod feed;
mod folder;
mod sequence;
mod servers;
mod state;

pub(crate) use feed::{Feed, Place};
pub(crate) use sequence::forget;
pub(crate) use servers::{Access, EmbeddedError, Servers, Wanted, running, running_broker};

/// Where the private Postgres of a command listens.
pub(crate) fn place(access: &Access) -> String {
    match access {
        Access::Own(servers) => format!("started for this check at {}", servers.postgres_address()),
        Access::Joined { .. } => "joined the one that runs".into(),
    }
}

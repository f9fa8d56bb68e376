//! The raw store: every record as it came, in MongoDB.

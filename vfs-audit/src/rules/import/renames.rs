//! Ops that got another name, as `rules/import/renames.toml` lists them.

use std::sync::OnceLock;

use serde::Deserialize;

const FILE: &str = include_str!("../../../../rules/import/renames.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Renamed {
    table: String,
    names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    renamed: Vec<Renamed>,
}

fn all() -> &'static [Renamed] {
    static RENAMED: OnceLock<Vec<Renamed>> = OnceLock::new();
    RENAMED.get_or_init(|| {
        let file: File = toml::from_str(FILE).unwrap_or_else(|error| unreachable!("the embedded renames: {error}"));
        file.renamed
    })
}

/// True when two names of a table mean one op.
pub(crate) fn is_renamed(table: &str, a: &str, b: &str) -> bool {
    a != b && other_names(table, a).any(|name| name == b)
}

/// The other names that an op had or got.
pub(crate) fn other_names<'a>(table: &'a str, op: &'a str) -> impl Iterator<Item = &'static str> + 'a {
    let of_op =
        all().iter().filter(move |renamed| renamed.table == table && renamed.names.iter().any(|name| name == op));
    of_op.flat_map(|renamed| &renamed.names).map(String::as_str).filter(move |name| *name != op)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Catalogue;

    #[test]
    fn an_op_is_known_by_its_other_name_in_its_own_table() {
        assert!(is_renamed("address_space_operations", "readpage", "read_folio"));
        assert!(is_renamed("address_space_operations", "read_folio", "readpage"));
        assert!(!is_renamed("address_space_operations", "readpage", "readpage"));
        assert!(!is_renamed("inode_operations", "readpage", "read_folio"));
    }

    #[test]
    fn every_name_is_one_of_an_op_of_some_release() {
        let catalogues: Vec<_> = Catalogue::load_all().unwrap();
        for renamed in all() {
            for name in &renamed.names {
                let is_known = catalogues.iter().any(|catalogue| catalogue.op(&renamed.table, name).is_some());
                assert!(is_known, "{}.{name}", renamed.table);
            }
        }
    }
}

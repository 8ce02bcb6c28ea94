//! From rule files to a catalogue: embedded ones or a directory's, for one release.

use std::{fs, path::Path};

use toml::de::DeTable;

use super::{
    definition::{self, Definitions},
    embedded,
    fault::{Fault, LoadError, Place, Problem, SourceFile},
    glob,
    model::Catalogue,
    reader::Faults,
    release::Release,
    select,
};

impl Catalogue {
    /// The rule set of a release (`v6.12`, or `6.12`) from the files in the binary.
    ///
    /// # Errors
    /// An unknown release. The embedded files themselves are free of faults: a test loads every release.
    pub fn load(release: &str) -> Result<Self, LoadError> {
        from_files(&Self::embedded_files(), release)
    }

    /// The rule sets of all releases from the files in the binary, oldest first.
    ///
    /// # Errors
    /// None: the embedded files are free of faults, as a test proves.
    pub fn load_all() -> Result<Vec<Self>, LoadError> {
        all_from_files(&Self::embedded_files())
    }

    /// The rule set of a release from a directory of rule files.
    ///
    /// # Errors
    /// An unknown release, an unreadable file, or every fault of every file.
    pub fn load_from(directory: &Path, release: &str) -> Result<Self, LoadError> {
        from_files(&read_directory(directory)?, release)
    }

    /// The rule set of a release from the texts of rule files.
    ///
    /// # Errors
    /// An unknown release, or every fault of every file.
    pub fn load_texts(files: &[SourceFile], release: &str) -> Result<Self, LoadError> {
        from_files(files, release)
    }

    /// The rule files in the binary.
    pub fn embedded_files() -> Vec<SourceFile> {
        embedded::FILES.iter().map(|(name, text)| SourceFile { name: (*name).into(), text: (*text).into() }).collect()
    }

    /// Every fault of every file of a directory, in all releases; empty when there is none.
    ///
    /// # Errors
    /// An unreadable file.
    pub fn lint(directory: &Path) -> Result<Vec<Fault>, LoadError> {
        Ok(faults_of(&read_directory(directory)?))
    }

    /// Names of the releases there are rule sets for, oldest first.
    pub fn releases() -> Vec<&'static str> {
        Release::all().map(Release::name).collect()
    }

    /// Name of the rule set for a kernel by its `uname -r`: the nearest at or below it.
    pub fn for_kernel(uname: &str) -> &'static str {
        Release::for_kernel(uname).name()
    }
}

fn read_directory(directory: &Path) -> Result<Vec<SourceFile>, LoadError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| LoadError::Unreadable { path, source }
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable(directory))? {
        let path = entry.map_err(unreadable(directory))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
            files.push(SourceFile { name: path.display().to_string(), text });
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if files.is_empty() { Err(LoadError::NoFiles(directory.to_owned())) } else { Ok(files) }
}

/// Every fault of the files.
pub(super) fn faults_of(files: &[SourceFile]) -> Vec<Fault> {
    match from_files(files, Release::for_kernel("").name()) {
        Err(LoadError::Faulty(faults)) => faults,
        _ => Vec::new(),
    }
}

/// Reads all files, proves them in all releases, and gives the catalogue of one.
pub(super) fn from_files(files: &[SourceFile], release: &str) -> Result<Catalogue, LoadError> {
    let unknown = || LoadError::UnknownRelease(release.to_owned());
    let wanted = Release::named(release).ok_or_else(unknown)?;
    let catalogues = all_from_files(files)?.into_iter();
    catalogues.zip(Release::all()).find(|(_, release)| *release == wanted).map(|(found, _)| found).ok_or_else(unknown)
}

/// Reads all files, proves them, and gives the catalogues of all releases.
fn all_from_files(files: &[SourceFile]) -> Result<Vec<Catalogue>, LoadError> {
    let faults = Faults::new(files);
    let documents: Vec<_> = files.iter().enumerate().map(|(file, source)| parse(file, source, &faults)).collect();
    let mut definitions = Definitions::default();
    for (file, document) in documents.iter().enumerate() {
        match Path::new(&files[file].name).file_name().and_then(|name| name.to_str()) {
            Some("locks.toml") => definition::locks(document, file, &faults, &mut definitions),
            Some("exceptions.toml") => definition::exceptions(document, file, &faults, &mut definitions),
            _ => definition::table(document, file, &faults, &mut definitions),
        }
    }
    let catalogues: Vec<_> = Release::all().map(|release| select::catalogue(&definitions, release, &faults)).collect();
    check_exceptions(&definitions, &catalogues, &faults);
    drop(documents);
    let found = faults.into_sorted();
    if !found.is_empty() {
        return Err(LoadError::Faulty(found));
    }
    Ok(catalogues)
}

fn parse<'t>(file: usize, source: &'t SourceFile, faults: &Faults<'_>) -> toml::Spanned<DeTable<'t>> {
    let (document, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        let place = Place { file, span: error.span().unwrap_or(0..0) };
        faults.note(&place, Problem::Syntax(error.message().replace('\n', ", ")));
    }
    document
}

/// An exception must name a rule of some release.
fn check_exceptions(definitions: &Definitions, catalogues: &[Catalogue], faults: &Faults<'_>) {
    for (exception, place) in &definitions.exceptions {
        let known = catalogues.iter().flat_map(Catalogue::rules).any(|rule| glob::matches(&exception.rule, &rule.id));
        if !known && !exception.rule.is_empty() {
            faults.note(place, Problem::UnknownRule(exception.rule.clone()));
        }
    }
}

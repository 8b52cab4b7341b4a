//! Where settings come from, one layer over the other, and which layer a setting is of.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Environment, File, FileFormat, Value, ValueKind};

use super::document::Document;
use super::error::{SettingError, SettingSource};

/// What every variable of the server begins with. `ORCHESTRATOR_TOKEN` and the like are none.
const PREFIX: &str = "ORCHESTRATOR__";
/// Where systemd has put the credentials of the unit.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// The origin that the merged values of variables name.
const VARIABLES: &str = "the environment";

/// The layers of settings, the lowest first.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    variables: BTreeMap<OsString, OsString>,
    flags: Vec<(&'static str, String)>,
    credentials_dir: Option<PathBuf>,
}

/// The settings of all layers, merged.
#[derive(Debug)]
pub(super) struct Layered {
    pub(super) document: Document,
    merged: Config,
    file: Option<PathBuf>,
    /// Where secret files are if nothing else is said.
    pub(super) credentials_dir: Option<PathBuf>,
}

impl Sources {
    /// The settings that this process was given: `file`, else `./orchestrator.toml` if it is there, and the variables of
    /// the environment.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let beside = || Some(PathBuf::from("orchestrator.toml")).filter(|path| path.exists());
        let credentials_dir = std::env::var_os(CREDENTIALS).map(PathBuf::from);
        Self { file: file.or_else(beside), credentials_dir, ..Self::default() }.with_variables(std::env::vars_os())
    }

    /// The settings of this file.
    #[must_use]
    pub fn of_file(file: impl Into<PathBuf>) -> Self {
        Self { file: Some(file.into()), ..Self::default() }
    }

    /// Over it these variables; those of other programs are passed over.
    #[must_use]
    pub fn with_variables(
        mut self,
        variables: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    ) -> Self {
        let ours = |name: &OsString| name.to_string_lossy().starts_with(PREFIX);
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        self.variables.extend(variables.filter(|(name, _)| ours(name)));
        self
    }

    /// Over it this flag, if it was given.
    #[must_use]
    pub fn with_flag(mut self, setting: &'static str, value: Option<impl ToString>) -> Self {
        self.flags.extend(value.map(|value| (setting, value.to_string())));
        self
    }

    /// All layers as one.
    pub(super) fn layered(&self) -> Result<Layered, SettingError> {
        let mut builder = Config::builder();
        if let Some(path) = &self.file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| SettingError::File { path: path.clone(), problem: error.to_string() })?;
            // Read apart from the rest, so that what is wrong in it is told as such.
            let file = File::from_str(&text, FileFormat::Toml);
            let file = config::Source::collect(&file).map_err(|error| unreadable(path, &error))?;
            builder = builder.add_source(Labelled { values: file, origin: path.display().to_string() });
        }
        builder = builder.add_source(
            Environment::with_prefix("ORCHESTRATOR")
                .prefix_separator("__")
                .separator("__")
                .try_parsing(false)
                .source(Some(self.texts()?)),
        );
        for (setting, value) in &self.flags {
            builder = builder.set_override(*setting, value.as_str()).map_err(|_| SettingError::Unusable {
                setting: (*setting).to_owned(),
                from: SettingSource::Flag,
                problem: "it cannot be set".to_owned(),
            })?;
        }
        let merged = builder.build().map_err(|_| SettingError::Unknown {
            setting: PREFIX.to_owned(),
            from: SettingSource::Variable(format!("{PREFIX}*")),
        })?;
        let read: Result<Document, _> = serde_path_to_error::deserialize(merged.clone());
        match read {
            Ok(document) => {
                let (file, credentials_dir) = (self.file.clone(), self.credentials_dir.clone());
                Ok(Layered { document, merged, file, credentials_dir })
            }
            Err(error) => Err(refused(&error, &merged, self.file.as_deref())),
        }
    }

    /// The variables as texts.
    fn texts(&self) -> Result<config::Map<String, String>, SettingError> {
        let mut texts = config::Map::new();
        for (name, value) in &self.variables {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
                return Err(SettingError::Variable { variable: name.to_string_lossy().into_owned() });
            };
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if !name.bytes().all(plain) || name.split("__").any(str::is_empty) {
                let setting = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase().replace("__", ".");
                return Err(SettingError::Unknown { setting, from: SettingSource::Variable(name.to_owned()) });
            }
            texts.insert(name.to_owned(), value.to_owned());
        }
        Ok(texts)
    }
}

impl Layered {
    /// A setting that cannot work.
    pub(super) fn unusable(&self, setting: impl Into<String>, problem: impl Into<String>) -> SettingError {
        let setting = setting.into();
        let from = source_of(&self.merged, &setting, self.file.as_deref());
        SettingError::Unusable { setting, from, problem: problem.into() }
    }
}

/// Values that say which file they are of.
#[derive(Debug, Clone)]
struct Labelled {
    values: config::Map<String, Value>,
    origin: String,
}

impl config::Source for Labelled {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, Value>, ConfigError> {
        let table = self.values.clone();
        Ok(table.into_iter().map(|(key, value)| (key, labelled(value, &self.origin))).collect())
    }
}

fn labelled(value: Value, origin: &String) -> Value {
    let kind = match value.kind {
        ValueKind::Table(table) => {
            ValueKind::Table(table.into_iter().map(|(key, value)| (key, labelled(value, origin))).collect())
        }
        ValueKind::Array(items) => ValueKind::Array(items.into_iter().map(|item| labelled(item, origin)).collect()),
        other => other,
    };
    Value::new(Some(origin), kind)
}

/// Which layer the setting is of.
fn source_of(merged: &Config, setting: &str, file: Option<&Path>) -> SettingSource {
    let Some(value) = value_at(&merged.cache, setting) else { return SettingSource::Default };
    match (value.origin(), file) {
        (Some(VARIABLES), _) => {
            SettingSource::Variable(format!("{PREFIX}{}", setting.to_uppercase().replace('.', "__")))
        }
        (Some(_), Some(path)) => SettingSource::File(path.to_owned()),
        (Some(_), None) => SettingSource::Default,
        (None, _) => SettingSource::Flag,
    }
}

/// The merged value of a setting; of one that an item of a list lacks, that item.
fn value_at<'a>(root: &'a Value, setting: &str) -> Option<&'a Value> {
    let (mut at, mut item) = (root, None);
    for key in setting.split(['.', '[']) {
        let next = match &at.kind {
            ValueKind::Table(table) => table.get(key),
            ValueKind::Array(items) => {
                item = key.trim_end_matches(']').parse().ok().and_then(|index: usize| items.get(index));
                item
            }
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => return item,
        }
    }
    Some(at)
}

/// Says where the TOML breaks off. The parser's own words show the line, and with it what may be a secret.
fn unreadable(path: &Path, error: &ConfigError) -> SettingError {
    let text = match error {
        ConfigError::FileParse { cause, .. } => cause.to_string(),
        _ => String::new(),
    };
    let place = text.lines().next().and_then(|line| line.split_once(" at ")).map(|(_, place)| place);
    let problem = place.map_or_else(|| "it is not TOML".to_owned(), |place| format!("it is not TOML at {place}"));
    SettingError::File { path: path.to_owned(), problem }
}

fn refused(error: &serde_path_to_error::Error<ConfigError>, merged: &Config, file: Option<&Path>) -> SettingError {
    let setting = error.path().to_string();
    let from = source_of(merged, &setting, file);
    match innermost(error.inner()) {
        ConfigError::Message(text) if text.starts_with("unknown field") => SettingError::Unknown { setting, from },
        // What was found is not told: it is the value.
        ConfigError::Type { expected, .. } => {
            SettingError::Unusable { setting, from, problem: format!("{expected} is expected") }
        }
        _ => SettingError::Unusable { setting, from, problem: "it is of another form than expected".to_owned() },
    }
}

fn innermost(error: &ConfigError) -> &ConfigError {
    match error {
        ConfigError::At { error, .. } => innermost(error),
        other => other,
    }
}

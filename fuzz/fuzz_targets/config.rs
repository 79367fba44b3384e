//! Any text as the configuration file. Either it is accepted, with every value checked, or it is
//! refused in one line that names the file and shows nothing of the secret.
#![no_main]

use std::fs::File;
use std::os::fd::IntoRawFd;
use std::path::Path;
use std::sync::LazyLock;

use easy_invite::config::Config;
use easy_invite::lifetime::Lifetime;
use easy_invite_fuzz::without_growth;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// The beginning of every secret, which no error may show.
const SECRET: &str = "TheyMustNotSeeThis";

/// The folder of the file, by a name that is the same in every run: libFuzzer makes inputs of the
/// strings that the target compares.
static FOLDER: LazyLock<(TempDir, String)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let opened = File::open(folder.path()).unwrap().into_raw_fd();
    (folder, format!("/proc/self/fd/{opened}"))
});

/// The text with [`SECRET`] in every line that gives the component's secret.
fn with_secret(text: &str) -> String {
    // Between three quotes, such a line is a part of another value, which may be shown.
    if text.contains("\"\"\"") || text.contains("'''") {
        return text.to_owned();
    }
    let line = |line: &str| {
        let value = line.trim_start().strip_prefix("secret").and_then(|rest| rest.trim_start().strip_prefix('='));
        match value.map(|value| value.trim_start().split_at_checked(1)) {
            Some(Some((quote @ ("\"" | "'"), rest))) => format!("secret = {quote}{SECRET}{rest}"),
            _ => line.to_owned(),
        }
    };
    text.split_inclusive('\n').map(line).collect()
}

fuzz_target!(|input: &[u8]| {
    let file = Path::new(&FOLDER.1).join("config.toml");
    let text = std::str::from_utf8(input).map(with_secret);
    std::fs::write(&file, text.as_ref().map_or(input, |text| text.as_bytes())).unwrap();
    without_growth(|| match Config::load(&file) {
        Ok(config) => {
            assert!(!format!("{config:?}").contains(SECRET));
            assert!(!config.hosts.is_empty() && !config.hosts.contains_key(&config.component));
            for (host, policy) in &config.hosts {
                assert!(policy.admins.iter().all(|admin| admin.domain().as_str() == host.as_str()));
                for lifetime in [policy.expire_after, policy.reset_expire_after, config.retention] {
                    assert!(!matches!(lifetime, Lifetime::Seconds(..=0)));
                }
            }
            if let Err(error) = &config.secret {
                check(&error.to_string());
            }
        }
        Err(error) => check(&error.to_string()),
    });
});

fn check(complaint: &str) {
    assert!(complaint.starts_with(&FOLDER.1), "{complaint}");
    assert!(!complaint.contains(char::is_control), "more than a line: {complaint:?}");
    assert!(!complaint.contains(SECRET), "{complaint}");
}

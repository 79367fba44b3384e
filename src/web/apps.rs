//! The apps that the pages recommend, and the devices that they run on.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::{IntoDeserializer, value};
use serde::{Deserialize, Serialize};
use url::Url;

/// The list that comes with the program.
pub const BUILT_IN: &str = include_str!("../../templates/apps.toml");

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// A phone or tablet with Android.
    Android,
    /// An iPhone or iPad.
    Ios,
    /// A computer with Windows.
    Windows,
    /// A Mac.
    MacOs,
    /// A computer with Linux.
    Linux,
}

impl Device {
    /// All of them.
    pub const ALL: [Device; 5] = [Device::Android, Device::Ios, Device::Windows, Device::MacOs, Device::Linux];

    /// The device of a browser with this `User-Agent`; `None` if it names none.
    pub fn of_browser(user_agent: &str) -> Option<Device> {
        // Android's browsers name Linux too, and those of iOS the Mac.
        let names = [
            ("Android", Device::Android),
            ("iPhone", Device::Ios),
            ("iPad", Device::Ios),
            ("iPod", Device::Ios),
            ("Windows", Device::Windows),
            ("Macintosh", Device::MacOs),
            ("Linux", Device::Linux),
            ("CrOS", Device::Linux),
        ];
        names.into_iter().find(|(name, _)| user_agent.contains(name)).map(|(_, device)| device)
    }

    /// Whether it is a phone or a tablet.
    pub fn is_mobile(self) -> bool {
        matches!(self, Device::Android | Device::Ios)
    }

    /// The device of this name.
    pub fn parse(word: &str) -> Option<Device> {
        Device::deserialize(IntoDeserializer::<value::Error>::into_deserializer(word)).ok()
    }
}

/// An app of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Its name.
    pub name: String,
    /// What it runs on.
    pub on: Vec<Device>,
    /// It opens the `xmpp:` URI of an invite and registers with it.
    pub invites: bool,
    /// Where to get it, the first choice first.
    pub get: Vec<Store>,
}

/// A place to get an app from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Its name.
    pub from: String,
    /// The app's page there; `{uri}` stands for the invite's `xmpp:` URI.
    pub url: String,
}

/// The list of apps.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apps {
    #[serde(default)]
    app: Vec<App>,
}

impl Apps {
    /// Reads a list.
    ///
    /// # Errors
    /// In one line, if it is no such list, or an address in it is no `http(s)` URL.
    pub fn parse(text: &str) -> Result<Apps, String> {
        let apps: Apps = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            format!("line {line}: {}", error.message().replace('\n', " ").replace('`', ""))
        })?;
        for app in &apps.app {
            let bad = |problem: String| format!("{:?}: {problem}", app.name);
            if app.get.is_empty() || app.on.is_empty() || app.name.trim().is_empty() {
                return Err(bad("expected a name, a device in `on`, and a place in `get`".to_owned()));
            }
            for store in &app.get {
                let url = Url::parse(&store.url_for("xmpp:example.org")).ok();
                if !url.is_some_and(|url| matches!(url.scheme(), "http" | "https")) {
                    return Err(bad(format!("expected an http:// or https:// address, found {:?}", store.url)));
                }
            }
        }
        Ok(apps)
    }

    /// The apps for a device, or for every device. If there is the `xmpp:` URI of an invite, their
    /// links pass it on.
    pub fn of(&self, device: Option<Device>, uri: Option<&str>) -> Vec<App> {
        let mut apps = self.app.clone();
        apps.retain(|app| device.is_none_or(|device| app.on.contains(&device)));
        for store in apps.iter_mut().flat_map(|app| &mut app.get) {
            store.url = store.url_for(uri.unwrap_or_default());
        }
        apps
    }
}

impl Store {
    fn url_for(&self, uri: &str) -> String {
        self.url.replace("{uri}", &utf8_percent_encode(uri, NON_ALPHANUMERIC).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_name_their_devices() {
        for (user_agent, device) in [
            ("Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/126.0 Mobile", Some(Device::Android)),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15", Some(Device::Ios)),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0", Some(Device::Windows)),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15", Some(Device::MacOs)),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", Some(Device::Linux)),
            ("curl/8.5.0", None),
            ("", None),
        ] {
            assert_eq!(Device::of_browser(user_agent), device, "{user_agent}");
        }
    }

    #[test]
    fn a_link_names_a_device_as_the_list_of_apps_does() {
        assert_eq!(["ios", "macos"].map(Device::parse), [Some(Device::Ios), Some(Device::MacOs)]);
        assert_eq!(["", "Ios", "MacOs", "amiga"].map(Device::parse), [None; 4]);
    }

    #[test]
    fn every_device_has_an_app_and_phones_have_one_that_opens_invites() {
        let apps = Apps::parse(BUILT_IN).unwrap();
        for device in Device::ALL {
            let apps = apps.of(Some(device), None);
            let opens = apps.iter().any(|app| app.invites);
            assert!(!apps.is_empty() && (opens || !device.is_mobile()), "{device:?}");
        }
    }

    #[test]
    fn a_store_that_hands_the_invite_on_is_given_it() {
        let apps = Apps::parse(BUILT_IN).unwrap();
        let uri = "xmpp:alice@example.org?roster;preauth=T;ibr=y";
        let link = &apps.of(Some(Device::Android), Some(uri))[0].get[0].url;
        assert!(link.ends_with("&referrer=xmpp%3Aalice%40example%2Eorg%3Froster%3Bpreauth%3DT%3Bibr%3Dy"), "{link}");
    }

    #[test]
    fn a_list_with_mistakes_is_refused_with_the_place() {
        for (text, problem) in [
            ("[[app]]\nname = 1", "line 2: invalid type: integer 1, expected a string"),
            ("[[app]]\nname = \"A\"\non = [\"amiga\"]\ninvites = true\nget = []", "line 3: unknown variant amiga"),
            ("[[app]]\nname = \"A\"\non = [\"ios\"]\ninvites = true\nget = []", "\"A\": expected a name, a device"),
            (
                "[[app]]\nname = \"A\"\non = [\"ios\"]\ninvites = true\nget = [{ from = \"x\", url = \"data:x\" }]",
                "\"A\": expected an http:// or https:// address, found \"data:x\"",
            ),
        ] {
            let error = Apps::parse(text).unwrap_err();
            assert!(error.starts_with(problem), "{error}");
        }
    }
}

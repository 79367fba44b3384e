//! The apps that the pages recommend, and the devices that they run on.

use minijinja::HtmlEscape;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::{IntoDeserializer, value};
use serde::{Deserialize, Serialize};
use url::Url;

use super::branding::{BadBranding, Branding};
use super::colour::Colour;

/// The list that comes with the program.
const BUILT_IN: &str = include_str!("../../templates/apps.toml");

/// The size of the picture of an app, in case the style is missing.
const SIZE: &str = r#"width="40" height="40""#;

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

    /// The device of this name.
    pub fn parse(word: &str) -> Option<Device> {
        Device::deserialize(IntoDeserializer::<value::Error>::into_deserializer(word)).ok()
    }
}

/// What a browser says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Browser<'a> {
    /// The devices that it may run on, the likeliest first; none if nothing tells.
    pub devices: &'a [Device],
    /// It is a part of another app, and perhaps cannot open further ones.
    pub in_app: bool,
}

impl Browser<'_> {
    /// Whether it is certainly on a phone or a tablet.
    pub fn is_mobile(self) -> bool {
        !self.devices.is_empty() && self.devices.iter().all(|device| matches!(device, Device::Android | Device::Ios))
    }
}

impl Browser<'static> {
    /// The browser that sends this `User-Agent` with these client hints (`Sec-CH-UA-Platform` and
    /// `Sec-CH-UA-Mobile`), in one text.
    pub fn of(headers: &str) -> Self {
        use Device::{Android, Ios, Linux, MacOs, Windows};
        // The first row counts whose words are all there. Tablets call themselves computers: every
        // browser on an iPad is Safari and says that it runs on a Mac, and a browser on Android
        // says Linux if its user wants pages to look as on a computer.
        let rows: [(&[&str], &'static [Device]); 16] = [
            (&["Windows Phone"], &[]),
            (&["Android"], &[Android]),
            (&["SamsungBrowser"], &[Android]),
            (&["X11; Linux", "?1"], &[Android]),
            (&["iPhone"], &[Ios]),
            (&["iPad"], &[Ios]),
            (&["iPod"], &[Ios]),
            (&["CriOS"], &[Ios]),
            (&["FxiOS"], &[Ios]),
            (&["EdgiOS"], &[Ios]),
            (&["Windows"], &[Windows]),
            (&["Macintosh", "Chrome/"], &[MacOs]),
            (&["Macintosh", "Firefox/"], &[MacOs]),
            (&["Macintosh"], &[MacOs, Ios]),
            (&["CrOS"], &[Linux, Android]),
            (&["X11; Linux"], &[Linux, Android]),
        ];
        let found = rows.into_iter().find(|(words, _)| words.iter().all(|word| headers.contains(word)));
        // WebViews of Android say so, and those of iOS do not call themselves Safari.
        let in_app = headers.contains("; wv)") || headers.contains("AppleWebKit/") && !headers.contains("Safari/");
        Browser { devices: found.map(|(_, devices)| devices).unwrap_or_default(), in_app }
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
    /// Whether it opens the `xmpp:` URI of an invite and registers with it.
    pub invites: bool,
    /// Where to get it, the first choice first.
    pub get: Vec<Store>,
    /// The colour of its tile.
    #[serde(default, skip_serializing)]
    colour: Colour,
    /// A file with its icon, in the operator's folder.
    #[serde(default, skip_serializing)]
    icon: Option<String>,
    /// Its picture, in HTML: the icon, or else a tile with the first letter of the name.
    #[serde(skip_deserializing)]
    pub tile: String,
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
    /// Reads the operator's list, or else the built-in one, with the icons that it names.
    ///
    /// # Errors
    /// If it is not a list of apps, or an icon is missing, too long or not an image.
    pub fn load(branding: &Branding) -> Result<Apps, BadBranding> {
        let mut apps = Apps::parse(&branding.text("apps.toml", BUILT_IN)?)
            .map_err(|problem| branding.problem("apps.toml", problem))?;
        for app in &mut apps.app {
            let icon = app.icon.as_deref().map(|icon| branding.icon_of_app(icon)).transpose()?;
            app.tile =
                icon.map_or_else(|| app.drawn(), |url| format!(r#"<img class="tile" {SIZE} alt="" src="{url}">"#));
        }
        Ok(apps)
    }

    /// Reads a list.
    ///
    /// # Errors
    /// One line, if it is not a list of apps, or an address in it is not an `http(s)` URL.
    fn parse(text: &str) -> Result<Apps, String> {
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

    /// The apps for these devices, in the order of the devices; for all devices if none is given.
    /// `on` has only those of the devices. With the `xmpp:` URI of an invite, their links pass it
    /// on.
    pub fn of(&self, devices: &[Device], uri: Option<&str>) -> Vec<App> {
        let devices = if devices.is_empty() { &Device::ALL } else { devices };
        let mut apps = self.app.clone();
        for app in &mut apps {
            app.on.retain(|device| devices.contains(device));
        }
        apps.retain(|app| !app.on.is_empty());
        apps.sort_by_key(|app| devices.iter().position(|device| app.on.contains(device)));
        for store in apps.iter_mut().flat_map(|app| &mut app.get) {
            store.url = store.url_for(uri.unwrap_or_default());
        }
        apps
    }

    /// The names of the apps for these devices that open invites.
    pub fn openers(&self, devices: &[Device]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for app in self.of(devices, None).into_iter().filter(|app| app.invites) {
            names.extend(Some(app.name).filter(|name| !names.contains(name)));
        }
        names
    }

    /// For each of these devices, the first of [`Apps::of`] that opens invites.
    pub fn first_for_invites(&self, devices: &[Device], uri: &str) -> Vec<App> {
        let mut apps = self.of(devices, Some(uri));
        let mut served = Vec::new();
        apps.retain(|app| {
            let first = app.invites && app.on.iter().any(|device| !served.contains(device));
            served.extend(app.on.iter().filter(|_| first));
            first
        });
        apps
    }
}

impl App {
    /// A tile with the first letter of the name.
    fn drawn(&self) -> String {
        let first = self.name.chars().find(|c| c.is_alphanumeric());
        let letter: String = first.into_iter().flat_map(char::to_uppercase).collect();
        let (letter, colour, text) = (HtmlEscape(&letter), self.colour.hex(), self.colour.of_text());
        let square = format!(r#"<rect width="40" height="40" rx="9" fill="{colour}"/>"#);
        let about = r#"x="20" y="28" font-size="22" font-weight="700" text-anchor="middle""#;
        let letter = format!(r#"<text {about} fill="{text}">{letter}</text>"#);
        format!(r#"<svg class="tile" {SIZE} viewBox="0 0 40 40" aria-hidden="true">{square}{letter}</svg>"#)
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
    fn browsers_say_what_they_may_run_on() {
        use Device::{Android, Ios, Linux, MacOs, Windows};
        const MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)";
        const TABLET: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36";
        let rows: [(String, &[Device], bool); 29] = [
            (
                "(Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36".into(),
                &[Android],
                false,
            ),
            ("(Linux; Android 13; SM-X900) AppleWebKit/537.36 Chrome/126.0 Safari/537.36".into(), &[Android], false),
            ("(Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0".into(), &[Android], false),
            ("(Linux; Android 12; HarmonyOS; NOH-AN00; HMSCore 6.8) Chrome/99 Safari/537.36".into(), &[Android], false),
            (
                "(Linux; Android 14; K; wv) AppleWebKit/537.36 Chrome/126 Safari/537.36 [FB_IAB/FB4A]".into(),
                &[Android],
                true,
            ),
            (format!("{TABLET} SamsungBrowser/25.0"), &[Android], false),
            (format!("{TABLET} \"Android\" ?0"), &[Android], false),
            (format!("{TABLET} \"Linux\" ?1"), &[Android], false),
            (format!("{TABLET} \"Linux\" ?0"), &[Linux, Android], false),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0".into(), &[Linux, Android], false),
            (
                "(X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 Chrome/126 Safari/537.36".into(),
                &[Linux, Android],
                false,
            ),
            (
                "(iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605 Version/17.5 Safari/604.1".into(),
                &[Ios],
                false,
            ),
            (
                "(iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605 Mobile/15E Instagram 336".into(),
                &[Ios],
                true,
            ),
            ("(iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605 Version/12.1 Safari/604.1".into(), &[Ios], false),
            (format!("{MAC} CriOS/126 Version/11.1.1 Safari/605.1.15"), &[Ios], false),
            (format!("{MAC} Version/17.5 Safari/605.1.15"), &[MacOs, Ios], false),
            (MAC.to_owned(), &[MacOs, Ios], true),
            (format!("{MAC} Chrome/126.0.0.0 Safari/537.36 \"macOS\" ?0"), &[MacOs], false),
            ("(Macintosh; Intel Mac OS X 10.15; rv:127.0) Gecko/20100101 Firefox/127.0".into(), &[MacOs], false),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Firefox/127.0".into(), &[Windows], false),
            ("(Windows Phone 10.0; Android 6.0.1; Lumia) AppleWebKit/537 Safari/537 Edge/15".into(), &[], false),
            (
                "(Mobile; Windows Phone 8.1; Android 4.0) like iPhone OS 7_0_3 AppleWebKit/537 Safari/537".into(),
                &[],
                false,
            ),
            ("(Phone; OpenHarmony 5.0) AppleWebKit/537.36 Chrome/114 Safari/537.36 ArkWeb/4.1".into(), &[], false),
            ("(Web0S; Linux/SmartTV) AppleWebKit/537.36 Chrome/94 Safari/537.36".into(), &[], false),
            ("TelegramBot (like TwitterBot)".into(), &[], false),
            ("facebookexternalhit/1.1".into(), &[], false),
            ("WhatsApp/2.23.20.0".into(), &[], false),
            ("curl/8.5.0".into(), &[], false),
            (String::new(), &[], false),
        ];
        for (headers, devices, in_app) in rows {
            assert_eq!(Browser::of(&headers), Browser { devices, in_app }, "{headers}");
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
            let apps = apps.of(&[device], None);
            let opens = apps.iter().any(|app| app.invites);
            assert!(!apps.is_empty() && (opens || matches!(device, Device::Windows | Device::Linux)), "{device:?}");
        }
    }

    #[test]
    fn a_device_that_may_be_two_is_served_as_both() {
        let apps = Apps::parse(BUILT_IN).unwrap();
        let first = |devices: &[Device]| {
            let apps = apps.first_for_invites(devices, "xmpp:example.org");
            apps.into_iter().map(|app| (app.name, app.on)).collect::<Vec<_>>()
        };
        let (mac, ios) = (("Monal".to_owned(), vec![Device::MacOs]), ("Monal".to_owned(), vec![Device::Ios]));
        assert_eq!(first(&[Device::MacOs, Device::Ios]), [mac.clone(), ios.clone()]);
        assert_eq!(first(&[Device::Windows]), []);
        assert_eq!(first(&[]), [("Conversations".to_owned(), vec![Device::Android]), ios, mac], "it may be anything");
        let on_mac = apps.of(&[Device::MacOs, Device::Ios], None);
        assert!(on_mac.iter().is_sorted_by_key(|app| app.on != [Device::MacOs]), "{on_mac:?}");
    }

    #[test]
    fn a_store_that_hands_the_invite_on_is_given_it() {
        let apps = Apps::parse(BUILT_IN).unwrap();
        let uri = "xmpp:alice@example.org?roster;preauth=T;ibr=y";
        let link = &apps.of(&[Device::Android], Some(uri))[0].get[0].url;
        assert!(link.ends_with("&referrer=xmpp%3Aalice%40example%2Eorg%3Froster%3Bpreauth%3DT%3Bibr%3Dy"), "{link}");
    }

    #[test]
    fn a_list_with_mistakes_is_refused_with_the_place() {
        for (text, problem) in [
            ("[[app]]\nname = 1", "line 2: invalid type: integer 1, expected a string"),
            ("[[app]]\nname = \"A\"\non = [\"amiga\"]\ninvites = true\nget = []", "line 3: unknown variant amiga"),
            ("[[app]]\nname = \"A\"\non = [\"ios\"]\ninvites = true\nget = []", "\"A\": expected a name, a device"),
            ("[[app]]\nname = \"A\"\ncolour = \"red\"", "line 3: expected a colour such as \"#2b5f8a\", found \"red\""),
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

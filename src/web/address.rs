//! Where a request comes from. Only the operator's proxies are believed when they name a client.

use std::iter;
use std::net::IpAddr;
use std::str;

use axum::http::HeaderMap;
use ipnet::IpNet;

use crate::limits::ip_address;

/// The client's address: the peer's own, or what the trusted proxies say in `X-Forwarded-For`.
/// `None` if that cannot be read: the address of a trusted proxy is never a client's.
///
/// Each proxy adds the address that it sees at the end, and a client can write whatever it likes
/// before that. So the addresses are read from the right, one by one, up to the first that is not a
/// trusted proxy's: that is the client's.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let lines = headers.get_all("x-forwarded-for").into_iter().rev();
    let named = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map(hop_address);
    let mut hops = iter::once(Some(peer.to_canonical())).chain(named);
    let is_proxy = |address| trusted.iter().any(|network| network.contains(&address));
    hops.find(|hop| !hop.is_some_and(is_proxy)).flatten()
}

/// An address with a port, a zone, both or neither: `192.0.2.60:4711`, `[fe80::1%eth0]:4711`,
/// `[2001:db8::1]`, `2001:db8::1`.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let hop = str::from_utf8(hop).ok()?.trim();
    let bare = match hop.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None if hop.matches(':').count() == 1 => hop.split_once(':')?.0,
        None => hop,
    };
    ip_address(bare)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const TRUSTED: [&str; 2] = ["127.0.0.1/32", "10.0.0.0/8"];

    fn from(peer: &str, lines: &[&[u8]], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line).unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let address = client_address(peer.parse().unwrap(), &headers, &trusted);
        address.map_or("nobody knows".to_owned(), |address| address.to_string())
    }

    fn behind_the_proxy(lines: &[&[u8]]) -> String {
        from("127.0.0.1", lines, &TRUSTED)
    }

    #[test]
    fn only_a_trusted_proxy_speaks_for_others() {
        let said: [&[u8]; 1] = [b"192.0.2.1"];
        assert_eq!(from("203.0.113.7", &said, &TRUSTED), "203.0.113.7");
        assert_eq!(from("127.0.0.1", &said, &[]), "127.0.0.1");
        assert_eq!(from("127.0.0.1", &said, &TRUSTED), "192.0.2.1");
        assert_eq!(from("::ffff:127.0.0.1", &said, &TRUSTED), "192.0.2.1");
    }

    #[test]
    fn what_a_client_makes_up_stands_before_what_the_proxies_add() {
        assert_eq!(behind_the_proxy(&[b"198.51.100.1, 203.0.113.7, 10.1.2.3"]), "203.0.113.7");
        assert_eq!(behind_the_proxy(&[b"198.51.100.1", b"203.0.113.7"]), "203.0.113.7");
    }

    #[test]
    fn a_trusted_proxy_is_never_the_client() {
        for lines in [
            vec![],
            vec![""],
            vec!["198.51.100.1", ""],
            vec!["198.51.100.1, "],
            vec!["198.51.100.1, <script>"],
            vec!["198.51.100.1, \u{e9}, 10.1.2.3"],
            vec!["198.51.100.1, unknown"],
            vec!["198.51.100.1, _hidden, 10.1.2.3"],
            vec!["198.51.100.1, 203.0.113"],
            vec!["198.51.100.1, unix:"],
            vec!["10.9.9.9, 10.1.2.3"],
            vec!["10.9.9.9", "127.0.0.1"],
        ] {
            let lines: Vec<_> = lines.into_iter().map(str::as_bytes).collect();
            assert_eq!(behind_the_proxy(&lines), "nobody knows", "{lines:?}");
        }
    }

    #[test]
    fn what_a_client_makes_up_spoils_nothing_that_the_proxies_add() {
        for made_up in [&b"\xff\xfe"[..], b"\"", b"unknown", b"", b",,", b"[::1", b"for=198.51.100.1;by=\"", b"\t"] {
            for added in ["203.0.113.7", "203.0.113.7,10.1.2.3", " 203.0.113.7 , 10.1.2.3"] {
                let line = [made_up, b",", added.as_bytes()].concat();
                assert_eq!(behind_the_proxy(&[&line]), "203.0.113.7", "{}", line.escape_ascii());
                assert_eq!(behind_the_proxy(&[made_up, added.as_bytes()]), "203.0.113.7", "{}", made_up.escape_ascii());
            }
        }
    }

    #[test]
    fn addresses_are_read_in_all_their_forms() {
        for (line, address) in [
            ("203.0.113.7:4711", "203.0.113.7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("2001:db8::7", "2001:db8::7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("[::ffff:203.0.113.7]:4711", "203.0.113.7"),
            ("fe80::7%eth0", "fe80::7"),
            ("[fe80::7%25eth0]:4711", "fe80::7"),
        ] {
            assert_eq!(behind_the_proxy(&[line.as_bytes()]), address, "{line}");
        }
    }
}

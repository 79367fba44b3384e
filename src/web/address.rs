//! Where a request comes from. Proxies in front of the web side say for whom they ask; others may say what they like.

use std::net::IpAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The client's address: the peer's own, or what the trusted proxies say of whom they ask for, in `X-Forwarded-For` or,
/// where there is none, in `Forwarded` (RFC 7239). A proxy that hides it stands for its clients.
///
/// Each proxy adds the address that it sees at the end, and everything before it may be made up. So the last one that no
/// trusted proxy has is the client's.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    let is_proxy = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_proxy(&peer) {
        return peer;
    }
    let lines = |name| headers.get_all(name).into_iter().map(|value| value.to_str().unwrap_or_default());
    let mut hops: Vec<Option<IpAddr>> = if headers.contains_key("x-forwarded-for") {
        lines("x-forwarded-for").flat_map(|line| line.split(',')).map(node_address).collect()
    } else {
        lines("forwarded").flat_map(|line| split_outside_quotes(line, ',')).map(forwarded_for).collect()
    };
    let mut client = peer;
    while is_proxy(&client)
        && let Some(Some(hop)) = hops.pop()
    {
        client = hop;
    }
    client
}

/// The address in an element of `Forwarded`: `for=192.0.2.60;proto=http`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pairs = split_outside_quotes(element, ';').filter_map(|pair| pair.split_once('='));
    let node = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for")).map(|(_, value)| value).last()?;
    node_address(node.trim().trim_matches('"'))
}

/// The address in the name of a node, with a port or without: `192.0.2.60:4711`, `[2001:db8::1]`, `2001:db8::1`.
fn node_address(node: &str) -> Option<IpAddr> {
    let node = node.trim();
    let bare = match node.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None if node.matches(':').count() == 1 => node.split_once(':')?.0,
        None => node,
    };
    bare.parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn from(peer: &str, headers: &[(&str, &str)], trusted: &[&str]) -> String {
        let named = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(named) {
            map.append(name, value);
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &map, &trusted).to_string()
    }

    const PROXY: &[&str] = &["127.0.0.1/32", "10.0.0.0/8"];

    #[test]
    fn nobody_but_a_trusted_proxy_speaks_for_somebody_else() {
        let forged = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(from("203.0.113.7", &forged, PROXY), "203.0.113.7");
        assert_eq!(from("127.0.0.1", &forged, &[]), "127.0.0.1");
        assert_eq!(from("127.0.0.1", &forged, PROXY), "192.0.2.1");
        assert_eq!(from("::ffff:127.0.0.1", &forged, PROXY), "192.0.2.1");
        assert_eq!(from("127.0.0.1", &[], PROXY), "127.0.0.1", "for itself");
    }

    #[test]
    fn what_a_client_makes_up_stands_before_what_the_proxies_add() {
        let chain = [("x-forwarded-for", "198.51.100.1, 203.0.113.7, 10.1.2.3")];
        assert_eq!(from("127.0.0.1", &chain, PROXY), "203.0.113.7");
        let lines = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(from("127.0.0.1", &lines, PROXY), "203.0.113.7");
        let inside = [("x-forwarded-for", "10.9.9.9, 10.1.2.3")];
        assert_eq!(from("127.0.0.1", &inside, PROXY), "10.9.9.9", "somebody in the proxies' own network");
        let both = [("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(from("127.0.0.1", &both, PROXY), "203.0.113.7");
    }

    #[test]
    fn both_kinds_of_forwarded_are_read_in_all_their_forms() {
        for (name, value, address) in [
            ("x-forwarded-for", "203.0.113.7:4711", Some("203.0.113.7")),
            ("x-forwarded-for", "[2001:db8::7]:4711", Some("2001:db8::7")),
            ("x-forwarded-for", "2001:db8::7", Some("2001:db8::7")),
            ("x-forwarded-for", "::ffff:203.0.113.7", Some("203.0.113.7")),
            ("forwarded", "proto=https;For=\"[2001:db8::7]:4711\"", Some("2001:db8::7")),
            ("forwarded", "for=198.51.100.1;by=\"a,b;for=1.2.3.4\", for=203.0.113.7", Some("203.0.113.7")),
            ("forwarded", "for=_hidden", None),
            ("forwarded", "proto=https", None),
            ("x-forwarded-for", "unknown", None),
            ("x-forwarded-for", "198.51.100.1, <script>", None),
            ("x-forwarded-for", "", None),
        ] {
            assert_eq!(from("127.0.0.1", &[(name, value)], PROXY), address.unwrap_or("127.0.0.1"), "{name}: {value}");
        }
    }
}

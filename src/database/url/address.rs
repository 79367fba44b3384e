//! The address in the URL of a PostgreSQL server: what stands before the "?". It is read here since
//! the library's own reader takes an empty host for a name, and says of most faults only that there
//! is one.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;

use crate::texts::printable;

/// PostgreSQL's port, where the URL does not say.
const USUAL_PORT: u16 = 5432;

/// Reads `USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE`.
///
/// # Errors
/// What is wrong with it, without any part of the password. As long as there is no "@", what looks
/// like a host may be one.
pub fn read(address: &str) -> Result<Config, String> {
    let (credentials, rest) = match address.split_once('@') {
        Some((_, rest)) if rest.contains('@') => {
            return Err("there is more than one \"@\": in a name or a password it is written %40".to_owned());
        }
        Some(parts) => parts,
        None => return Err("the user is missing: write USER@ before the host".to_owned()),
    };
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
    if user.is_empty() {
        return Err("the user is missing: nothing stands before the \"@\", or before its password".to_owned());
    }
    if hosts.is_empty() {
        return Err("the host is missing. The folder of a socket is written %2Frun%2Fpostgresql".to_owned());
    }
    if database.contains(|c: char| c == '/' || c == '#' || c.is_whitespace()) {
        let problem = "in the name of a database, \"/\" is written %2F, \"#\" %23, and a blank %20";
        return Err(problem.to_owned());
    }
    let mut config = Config::new();
    config.user(decoded("user", user)?);
    if !password.is_empty() {
        config.password(decoded("password", password)?);
    }
    let mut named = BTreeSet::new();
    for text in hosts.split(',') {
        let (host, port) = host_and_port(text)?;
        if host.is_empty() {
            return Err(format!("a host is empty in \"{}\"", printable(hosts)));
        }
        if !named.insert((host.to_ascii_lowercase(), port)) {
            return Err(format!("{} is named twice", printable(text)));
        }
        config.host(host).port(port);
    }
    if !database.is_empty() {
        config.dbname(decoded("database", database)?);
    }
    Ok(config)
}

/// A part of the URL, without its percent-encoding. An error does not show the part.
///
/// # Errors
/// If it is not encoded properly, or has a character that PostgreSQL does not take.
pub fn decoded(what: &str, text: &str) -> Result<String, String> {
    // "%" without two digits behind it would be left as it is.
    let is_digits = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    match percent_decode_str(text).decode_utf8() {
        Ok(text) if text.contains('\0') => Err(format!("the {what} has a NUL in it")),
        Ok(decoded) if text.split('%').skip(1).all(is_digits) => Ok(decoded.into_owned()),
        _ => Err(format!("the {what} has a \"%\" that stands for no character: the sign itself is written %25")),
    }
}

/// `HOST`, `HOST:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`. The host may be empty.
fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = match text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let name = match in_brackets {
        Some(address) if address.parse::<Ipv6Addr>().is_ok() => address.to_owned(),
        None if !host.contains([':', '[', ']']) => decoded("host", host)?,
        _ => {
            let expected = "an IPv6 address is written [::1] or [::1]:5432, and a name NAME or NAME:5432";
            return Err(format!("{:?} is no host: {expected}", printable(text)));
        }
    };
    let is_folder = name.starts_with('/');
    if !is_folder && !name.is_empty() && name.bytes().all(|c| c.is_ascii_digit()) {
        return Err(format!("{name} is no host: each host has its port behind it, as in a:5432,b:5432"));
    }
    let is_odd = |c: char| !c.is_alphanumeric() && !"-._".contains(c);
    if in_brackets.is_none() && !is_folder && name.contains(is_odd) {
        return Err(format!(
            "\"{}\" is no host: its name has letters, digits, \"-\", \".\" and \"_\"",
            printable(name)
        ));
    }
    let is_port = |port: &&str| port.bytes().all(|c| c.is_ascii_digit());
    let port = match port {
        None => Some(USUAL_PORT),
        Some(port) => Some(port).filter(is_port).and_then(|port| port.parse().ok()).filter(|port| *port != 0),
    };
    Ok((name, port.ok_or_else(|| format!("the port in \"{}\" is no number from 1 to 65535", printable(text)))?))
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    #[test]
    fn an_address_has_a_user_hosts_and_a_database() {
        let tcp = |name: &str| Host::Tcp(name.to_owned());
        let socket = Host::Unix("/run/postgresql".into());
        for (address, hosts, ports) in [
            ("u@db.example.org/d", vec![tcp("db.example.org")], vec![5432]),
            ("u@db_1:5433/d", vec![tcp("db_1")], vec![5433]),
            ("u@a:1,b,a:2/d", vec![tcp("a"), tcp("b"), tcp("a")], vec![1, 5432, 2]),
            ("u@[::1]/d", vec![tcp("::1")], vec![5432]),
            ("u@[::1]:65535,127.0.0.1/d", vec![tcp("::1"), tcp("127.0.0.1")], vec![65535, 5432]),
            ("u@%2Frun%2Fpostgresql/d", vec![socket.clone()], vec![5432]),
            ("u@%2Frun%2Fpostgresql:5433,datenbank-ä/d", vec![socket, tcp("datenbank-ä")], vec![5433, 5432]),
        ] {
            let config = read(address).unwrap();
            assert_eq!((config.get_user(), config.get_dbname()), (Some("u"), Some("d")), "{address}");
            assert_eq!((config.get_hosts(), config.get_ports()), (&hosts[..], &ports[..]), "{address}");
        }
        for (address, user, password, database) in [
            ("u%40x@h/a%2Fb%20c", "u@x", None, Some("a/b c")),
            ("u:@h", "u", None, None),
            ("u:50%25/#:, ä@h/", "u", Some("50%/#:, ä"), None),
        ] {
            let config = read(address).unwrap();
            let found = (config.get_user(), config.get_password(), config.get_dbname());
            assert_eq!(found, (Some(user), password.map(str::as_bytes), database), "{address}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said_without_its_password() {
        for (address, problem) in [
            ("u@a,,b/x", "a host is empty in \"a,,b\""),
            ("u@,a/x", "a host is empty in \",a\""),
            ("u@a,/x", "a host is empty in \"a,\""),
            ("u@:5433/x", "a host is empty in \":5433\""),
            ("u@a,:5433/x", "a host is empty in \"a,:5433\""),
            ("u@[]:5433/x", "an IPv6 address is written [::1]"),
            ("u@a, b/x", "\" b\" is no host"),
            ("u@a ,b/x", "\"a \" is no host"),
            ("u@a#b/x", "\"a#b\" is no host"),
            ("u@a%00/x", "the host has a NUL"),
            ("u@a:/x", "the port in \"a:\" is no number"),
            ("u@a:0/x", "the port in \"a:0\" is no number"),
            ("u@b,a:65536/x", "the port in \"a:65536\" is no number from 1 to 65535"),
            ("u@a:+5/x", "the port in \"a:+5\" is no number"),
            ("u@a: 5/x", "the port in \"a: 5\" is no number"),
            ("u@a:5432%2C5433/x", "the port in \"a:5432%2C5433\" is no number"),
            ("u@a:5432,5433/x", "5433 is no host: each host has its port behind it"),
            ("u@::1/x", "an IPv6 address is written [::1]"),
            ("u@fe80::1:5432/x", "an IPv6 address is written [::1]"),
            ("u@[::1/x", "an IPv6 address is written [::1]"),
            ("u@[::1]1/x", "an IPv6 address is written [::1]"),
            ("u@[banana]/x", "an IPv6 address is written [::1]"),
            ("u@a:1:2/x", "\"a:1:2\" is no host"),
            ("u@a:1,b,A:1/x", "A:1 is named twice"),
            ("u@a,a:5432/x", "a:5432 is named twice"),
            ("u@", "the host is missing"),
            ("u:hunter2@/x", "the host is missing"),
            ("u@/run/postgresql/x", "written %2Frun%2Fpostgresql"),
            ("", "the user is missing"),
            ("h/x", "the user is missing"),
            ("@h/x", "the user is missing"),
            (":hunter2@h/x", "the user is missing"),
            ("u:hunter2", "write USER@ before the host"),
            ("u:hunter2/x", "write USER@ before the host"),
            ("hunter2/x", "write USER@ before the host"),
            ("u@h/x/y", "\"/\" is written %2F"),
            ("u@h/x#y", "\"#\" %23"),
            ("u@h/x ", "a blank %20"),
            ("u@h/x%ff", "the database has a \"%\" that stands for no character"),
            ("u%zz@h/x", "the user has a \"%\""),
            ("u%ff@h/x", "the user has a \"%\""),
            ("u@h%zz/x", "the host has a \"%\""),
            ("u:hunter2%@h/x", "the password has a \"%\" that stands for no character: the sign itself is written %25"),
            ("u:hunter2%2@h/x", "the password has a \"%\""),
            ("u:hunter2%zz@h/x", "the password has a \"%\""),
            ("u:hunter2%ff@h/x", "the password has a \"%\""),
            ("u:hunter2%00@h/x", "the password has a NUL"),
            ("u:x@hunter2@h/d", "more than one \"@\""),
        ] {
            let found = read(address).unwrap_err();
            assert!(found.contains(problem) && !found.contains("hunter2"), "{address}: {found}");
        }
    }
}

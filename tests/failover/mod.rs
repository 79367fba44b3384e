//! What becomes of the store when its server is one of a pair, or behind a pooler.

mod looking;
mod lost;
mod withdrawn;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use easy_invite::store::{Problem, Quota, Store, StoreError, Wait, begun_by};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use super::engines::cluster::{Cluster, owner};
use super::engines::{at, invite, query, until};
use super::{LONG, refused, url};

/// A primary and its standby.
struct Pair {
    primary: Cluster,
    standby: Cluster,
}

impl Pair {
    fn start() -> Self {
        let primary = Cluster::start();
        Pair { standby: primary.standby(), primary }
    }

    /// Both, the old primary first.
    fn url(&self, options: &str) -> String {
        let [primary, standby] = [self.primary.port, self.standby.port];
        format!("postgres://postgres@127.0.0.1:{primary},127.0.0.1:{standby}/postgres?sslmode=disable{options}")
    }

    /// Waits until the standby has what the primary has.
    async fn streams(&self) {
        let [primary, standby] = [&self.primary, &self.standby].map(|cluster| format!("{}/postgres", cluster.url()));
        let end = &query(&primary, "SELECT pg_current_wal_lsn()").await[0][0];
        let has = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'");
        until("the standby streams", async || query(&standby, &has).await == [["t"]]).await;
    }

    /// The standby takes over, and the primary takes no writes any more.
    async fn fail_over(&self) {
        self.primary.set(&["SET default_transaction_read_only = on"]).await;
        self.standby.promote();
    }
}

/// Work that has so long to begin.
fn within<T>(patience: Duration, work: impl Future<Output = T>) -> impl Future<Output = T> {
    begun_by((Instant::now() + patience).into(), work)
}

async fn stores(store: &Store) {
    let storing = within(LONG, store.insert(invite(), Quota::default(), at(1000)));
    assert_eq!(timeout(LONG * 2, storing).await.unwrap(), Ok(Ok(())));
}

/// What somebody is told who cannot read.
async fn refused_reading(store: &Store) -> String {
    let found = within(Duration::from_secs(2), store.find(invite().token_hash)).await;
    found.err().map(|error| error.to_string()).unwrap_or_default()
}

async fn count(cluster: &Cluster) -> String {
    query(&format!("{}/postgres", cluster.url()), "SELECT count(*) FROM invite").await[0][0].clone()
}

const ORDINARY_ROLE: &str = "CREATE ROLE einv LOGIN; GRANT ALL ON SCHEMA public TO einv";

/// Lets this role in without a password.
async fn let_in(cluster: &Cluster) {
    let access = cluster.data().join("pg_hba.conf");
    fs::write(&access, format!("host all einv 127.0.0.1/32 trust\n{}", fs::read_to_string(&access).unwrap())).unwrap();
    query(&format!("{}/postgres", cluster.url()), "SELECT pg_reload_conf()").await;
}

const WAITING: &str = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

/// Lets commits wait for a standby that is not there. Returns when they do.
async fn hold_commits(cluster: &Cluster) {
    let database = format!("{}/postgres", cluster.url());
    cluster.set(&["SET synchronous_standby_names = 'nobody'"]).await;
    let probe = async || query(&database, "CREATE TABLE probe (); DROP TABLE probe").await;
    let own = format!("{WAITING} AND application_name <> 'easy-invite'");
    let cancel = format!("SELECT pg_cancel_backend(pid) FROM ({own}) AS waiting");
    tokio::select! {
        () = async { loop { probe().await; } } => unreachable!(),
        () = until("one waits", async || !query(&database, &cancel).await.is_empty()) => (),
    }
    until("none of these waits", async || query(&database, &cancel).await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_takes_no_writes_any_more_is_left_and_never_used_again() {
    for options in ["", "&target_session_attrs=read-write"] {
        let pair = Pair::start();
        let store = Store::open(&url(&pair.url(options))).await.unwrap();
        join_all((0..8).map(|_| stores(&store))).await;
        pair.streams().await;
        pair.fail_over().await;
        join_all((0..8).map(|_| stores(&store))).await;
        assert_eq!((count(&pair.primary).await, count(&pair.standby).await), ("8".to_owned(), "16".to_owned()));

        // It is back, and would take writes. Old connections and new ones keep away from it, and
        // those of a daemon that has just started.
        pair.primary.set(&["RESET default_transaction_read_only"]).await;
        pair.standby.restart();
        stores(&store).await;
        let again = Store::open(&url(&pair.url(options))).await.unwrap();
        stores(&again).await;
        assert_eq!((count(&pair.primary).await, count(&pair.standby).await), ("8".to_owned(), "18".to_owned()));
        let servers = again.servers().await;
        let [(_, Err(old)), (_, Ok(new))] = &servers[..] else { panic!("{servers:?}") };
        assert!(old.to_string().contains("is on timeline 1, and the store went on to timeline 2"), "{old}");
        assert_eq!(new, "takes writes, timeline 2");
        pair.standby.stop();
        until("nothing is read there either", async || {
            refused_reading(&store).await.contains("is on timeline 1, and the store went on")
        })
        .await;
    }
}

/// The old primary runs on, cut off from its standby.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_whose_commits_wait_is_left_when_its_standby_has_taken_over() {
    let pair = Pair::start();
    let store = Store::open(&url(&pair.url(""))).await.unwrap();
    pair.primary.set(&["SET synchronous_standby_names = 'standby'"]).await;
    stores(&store).await;
    pair.standby.promote();
    join_all((0..20).map(|_| stores(&store))).await;
    stores(&store).await;
    assert_eq!(count(&pair.standby).await, "22");
    assert_eq!(store.waits().await, Ok(None));
    pair.primary.set(&["RESET synchronous_standby_names"]).await;
    stores(&Store::open(&url(&pair.url(""))).await.unwrap()).await;
    assert_eq!(count(&pair.standby).await, "23");
}

/// Its processes stand still while the system keeps their connections: its disk hangs.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_stands_still_is_left_when_its_standby_has_taken_over() {
    let pair = Pair::start();
    let store = Store::open(&url(&pair.url(""))).await.unwrap();
    pair.streams().await;
    // Every connection of the pool is there already, so that their processes stand still as well.
    join_all((0..64).map(|_| store.find(invite().token_hash))).await;
    let processes = pair.primary.processes();
    let signal = |name: &str| assert!(Command::new("kill").arg(name).args(&processes).status().unwrap().success());
    signal("-STOP");
    pair.standby.promote();
    let stored = async || store.insert(invite(), Quota::default(), at(1000)).await == Ok(Ok(()));
    let told = timeout(LONG / 2, until("it is stored", stored)).await;
    signal("-CONT");
    assert!(told.is_ok(), "the connections are tried one after the other");
    assert_eq!((count(&pair.primary).await, count(&pair.standby).await), ("0".to_owned(), "1".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_read_while_the_primary_is_away_and_left_when_it_is_back() {
    let pair = Pair::start();
    let store = Store::open(&url(&pair.url(""))).await.unwrap();
    let kept = invite();
    assert_eq!(store.insert(kept.clone(), Quota::default(), at(1000)).await, Ok(Ok(())));
    pair.streams().await;
    pair.primary.stop();
    assert_eq!(store.find(kept.token_hash).await, Ok(Some(kept.clone())));
    let refused = store.insert(invite(), Quota::default(), at(1000)).await.unwrap_err();
    assert!(matches!(&refused.problem, Problem::Standby(_)), "{refused}");
    pair.primary.go();
    stores(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_cluster_is_not_used() {
    let (first, other) = (Cluster::start(), Cluster::start());
    let [one, two] = [first.port, other.port];
    Store::open(&url(&format!("{}/postgres", other.url()))).await.unwrap();
    let both = format!("postgres://postgres@127.0.0.1:{one},127.0.0.1:{two}/postgres?sslmode=disable");
    let store = Store::open(&url(&both)).await.unwrap();
    stores(&store).await;
    first.stop();
    until("the other one is refused", async || {
        let said = refused_reading(&store).await;
        said.contains("belongs to another cluster") && said.contains("restart easy-invite")
    })
    .await;
    first.go();
    stores(&store).await;
    assert_eq!((count(&first).await, count(&other).await), ("2".to_owned(), "0".to_owned()));
}

/// As after pg_upgrade, or where a dump was restored into a new cluster.
#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_at_the_only_host_is_used() {
    let (first, other) = (Cluster::start(), Cluster::start());
    Store::open(&url(&format!("{}/postgres", other.url()))).await.unwrap();
    let store = Store::open(&url(&format!("{}/postgres", first.url()))).await.unwrap();
    stores(&store).await;
    first.stop();
    other.stop();
    other.configure(&format!("port = {}\n", first.port));
    other.go();
    join_all((0..8).map(|_| stores(&store))).await;
    assert_eq!(count(&first).await, "8", "what is at the first one's port now");
}

/// Somebody cancels what waits, ends its session, or limits how long statements may take.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_not_waited_for_to_the_end_is_no_yes_yet() {
    let cluster = Cluster::start();
    let database = format!("{}/postgres", cluster.url());
    query(&database, "ALTER DATABASE postgres SET statement_timeout = '3s'").await;
    query(&database, "ALTER DATABASE postgres SET client_min_messages = 'error'").await;
    let store = Store::open(&url(&database)).await.unwrap();
    for end in ["pg_cancel_backend", "pg_terminate_backend"] {
        hold_commits(&cluster).await;
        let (kept, writer) = (invite(), store.clone());
        let inserted = kept.clone();
        let mut inserting = tokio::spawn(async move { writer.insert(inserted, Quota::default(), at(1000)).await });
        for _ in 0..2 {
            until("it waits", async || !query(&database, WAITING).await.is_empty()).await;
            query(&database, &format!("SELECT {end}(pid) FROM ({WAITING}) AS waiting")).await;
            let told = timeout(Duration::from_millis(500), &mut inserting).await;
            assert!(told.is_err(), "{end}: {told:?}");
        }
        cluster.set(&["RESET synchronous_standby_names"]).await;
        assert_eq!(timeout(LONG, inserting).await.unwrap().unwrap(), Ok(Ok(())));
        assert_eq!(store.find(kept.token_hash).await, Ok(Some(kept)), "once, and for good");
    }
    assert_eq!(count(&cluster).await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_while_all_commits_wait_for_a_standby_and_the_wait_has_a_name() {
    let cluster = Cluster::start();
    let database = format!("{}/postgres", cluster.url());
    query(&database, ORDINARY_ROLE).await;
    let_in(&cluster).await;
    // Of others, an ordinary role does not see what they wait for.
    let store = Store::open(&url(&database.replace("postgres@", "einv@"))).await.unwrap();
    assert!(!store.is_synchronous().await.unwrap());
    hold_commits(&cluster).await;
    until("it is noticed", async || store.is_synchronous().await.unwrap()).await;
    let inserts = (0..40).map(|_| store.insert(invite(), Quota::default(), at(1000)));
    let inserting = within(Duration::from_secs(3), join_all(inserts));
    let reading = async {
        until("the wait is found", async || store.waits().await.unwrap() == Some(Wait::Standby)).await;
        join_all((0..40).map(|_| store.find(invite().token_hash))).await.into_iter().for_each(|found| {
            assert_eq!(found, Ok(None));
        });
        sleep(Duration::from_secs(3)).await;
        cluster.set(&["RESET synchronous_standby_names"]).await;
    };
    let (told, ()) = timeout(LONG, futures::future::join(inserting, reading)).await.unwrap();
    let late = told.iter().filter_map(|told| told.as_ref().err()).collect::<Vec<_>>();
    assert!(late.len() >= 40 - 16 && late.len() < 40, "{late:?}");
    for error in late {
        assert!(matches!(error.problem, Problem::Waits(_)) && error.to_string().contains("(SyncRep)"), "{error}");
    }
    assert_eq!(store.waits().await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_kept_out_by_a_lock_is_told_whose_it_is() {
    let cluster = Cluster::start();
    let database = format!("{}/postgres", cluster.url());
    let store = Store::open(&url(&database)).await.unwrap();
    for (name, lock) in [("pg_dump", "LOCK TABLE invite"), ("psql", "LOCK TABLE last_commit"), ("", "LOCK TABLE event")]
    {
        let named = format!("{database}?application_name={name}");
        let (holder, connection) = tokio_postgres::connect(&named, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        holder.batch_execute(&format!("BEGIN; {lock}")).await.unwrap();
        let said = store.insert(invite(), Quota::default(), at(1000)).await.unwrap_err().to_string();
        let name = if name.is_empty() { "a program without a name" } else { name };
        assert!(said.contains(&format!("is locked by {name} (process ")) && said.contains("role postgres)"), "{said}");
        drop(holder);
    }
    stores(&store).await;
}

/// It accepts connections, and says nothing: a machine whose disk hangs, or a firewall.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_or_an_address_that_is_silent_is_passed_over() {
    let cluster = Cluster::start();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = (TcpListener::bind(("127.0.0.1", silent)).unwrap(), silent).1;
    let _same = TcpListener::bind(("::1", cluster.port)).unwrap();
    for hosts in [format!("127.0.0.1:{silent},127.0.0.1:{}", cluster.port), format!("localhost:{}", cluster.port)] {
        let begun = Instant::now();
        let store = Store::open(&url(&format!("postgres://postgres@{hosts}/postgres?sslmode=disable"))).await.unwrap();
        stores(&store).await;
        assert!(begun.elapsed() < LONG, "{hosts}: {:?}", begun.elapsed());
    }
}

/// The settings of PgBouncer in docs/scaling.md.
fn documented() -> &'static str {
    let (_, section) = include_str!("../../docs/scaling.md").split_once("\n## PgBouncer\n").unwrap();
    section.split("```\n").nth(1).unwrap()
}

/// The same with another value of one of them.
fn documented_but(setting: &str, value: &str) -> String {
    let lines = documented().lines().map(|line| match line.split_once(" = ") {
        Some((name, _)) if name == setting => format!("{name} = {value}\n"),
        _ => format!("{line}\n"),
    });
    let changed: String = lines.collect();
    assert_ne!(changed, documented(), "{setting}");
    changed
}

/// PgBouncer before a server. It ends with this.
struct Pooler {
    folder: tempfile::TempDir,
    server: u16,
    port: u16,
    process: Child,
}

impl Pooler {
    async fn start(server: u16, settings: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        chown(folder.path(), owner(), None).unwrap();
        Pooler::configure(&folder, server, port, settings);
        let mut command = Command::new("/usr/sbin/pgbouncer");
        if let Some(owner) = owner() {
            std::os::unix::process::CommandExt::uid(&mut command, owner);
        }
        command.arg(folder.path().join("pgbouncer.ini")).current_dir(folder.path());
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pooler = Pooler { folder, server, port, process };
        until("PgBouncer listens", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        pooler
    }

    fn configure(folder: &tempfile::TempDir, server: u16, port: u16, settings: &str) {
        let settings = format!(
            "[databases]\npostgres = host=127.0.0.1 port={server} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\n{settings}"
        );
        fs::write(folder.path().join("pgbouncer.ini"), settings).unwrap();
    }

    /// Gives it other settings from now on.
    fn reload(&self, settings: &str) {
        Pooler::configure(&self.folder, self.server, self.port, settings);
        assert!(Command::new("kill").args(["-HUP", &self.process.id().to_string()]).status().unwrap().success());
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_may_pool_sessions_and_nothing_less() {
    let cluster = Cluster::start();
    let direct = Store::open(&url(&format!("{}/postgres", cluster.url()))).await.unwrap();
    for mode in ["transaction", "statement"] {
        let pooler = Pooler::start(cluster.port, &documented_but("pool_mode", mode)).await;
        for _ in 0..3 {
            let said = refused(&pooler.url()).await.to_string();
            assert!(said.contains("cannot be opened") && said.contains("pool_mode = session"), "{mode}: {said}");
        }
    }
    let pooler = Pooler::start(cluster.port, documented()).await;
    // Two daemons, with all connections that they ever have, and a command.
    let daemons = [Store::open(&url(&pooler.url())).await.unwrap(), Store::open(&url(&pooler.url())).await.unwrap()];
    join_all((0..40).map(|number| stores(&daemons[number % 2]))).await;
    join_all((0..200).map(|number| daemons[number % 2].find(invite().token_hash))).await;
    stores(&Store::open(&url(&pooler.url())).await.unwrap()).await;
    cluster.restart();
    join_all(daemons.iter().map(stores)).await;
    assert_eq!(direct.contents().await.unwrap().invites, 43);
    for daemon in &daemons {
        assert_eq!(daemon.waits().await, Ok(None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_with_too_few_sessions_is_named_as_such() {
    let cluster = Cluster::start();
    let pooler = Pooler::start(cluster.port, &documented_but("default_pool_size", "2")).await;
    let store = Store::open(&url(&pooler.url())).await.unwrap();
    let said = refused(&pooler.url()).await.to_string();
    assert!(said.contains("default_pool_size be 16 for each daemon"), "{said}");
    stores(&store).await;
}

/// Without the setting of the docs, it keeps its clients out for 15 seconds. The test sees longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_lets_a_daemon_back_in_as_soon_as_server_login_retry_says() {
    let cluster = Cluster::start();
    let slow = Pooler::start(cluster.port, &documented_but("server_login_retry", "1000")).await;
    let store = Store::open(&url(&slow.url())).await.unwrap();
    stores(&store).await;
    cluster.stop();
    let kept_out = async || refused_reading(&store).await.contains("server_login_retry");
    until("the pooler has seen it", &kept_out).await;
    cluster.go();
    stores(&Store::open(&url(&format!("{}/postgres", cluster.url()))).await.unwrap()).await;
    until("the server is back, and the pooler does not look", &kept_out).await;
    slow.reload(documented());
    stores(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_begins_to_share_sessions_mixes_nothing_up() {
    let cluster = Cluster::start();
    let pooler = Pooler::start(cluster.port, documented()).await;
    let stores = [Store::open(&url(&pooler.url())).await.unwrap(), Store::open(&url(&pooler.url())).await.unwrap()];
    pooler.reload(&documented_but("pool_mode", "transaction"));
    sleep(Duration::from_millis(200)).await;
    let mut told = Vec::new();
    for _ in 0..5 {
        let crowd = (0..40).map(|number| {
            let kept = invite();
            let store = &stores[number % 2];
            async move { (store.insert(kept.clone(), Quota::default(), at(1000)).await, kept) }
        });
        told.extend(join_all(crowd).await);
    }
    let refused: Vec<_> = told.iter().filter_map(|(told, _)| told.as_ref().err()).collect();
    assert!(!refused.is_empty());
    for error in refused {
        let StoreError { problem, .. } = error;
        let known = matches!(problem, Problem::Unopenable(words) if words.contains("pool_mode = session"));
        assert!(known, "{error}");
    }
    let direct = Store::open(&url(&format!("{}/postgres", cluster.url()))).await.unwrap();
    for (told, kept) in told {
        let found = direct.find_by_id(kept.id.clone()).await.unwrap();
        assert_eq!(found, told.is_ok().then_some(kept));
    }
}

/// A daemon without a chat server, and what it logs.
struct Daemon {
    _folder: tempfile::TempDir,
    process: Child,
    said: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Daemon {
    fn start(store: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "[component]\njid = \"invite.example.org\"\nserver = \"127.0.0.1:1\"\nsecret = \"s\"\n\
             [hosts.\"example.org\"]\n[store]\nurl = \"{store}\"\n[control]\nsocket = \"{}/socket\"\n",
            folder.path().display()
        );
        fs::write(folder.path().join("config.toml"), config).unwrap();
        let mut command = Daemon::command(&folder);
        let mut process = command.arg("run").stderr(Stdio::piped()).spawn().unwrap();
        let said = std::sync::Arc::<std::sync::Mutex<Vec<String>>>::default();
        let (lines, log) = (BufReader::new(process.stderr.take().unwrap()).lines(), said.clone());
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| log.lock().unwrap().push(line)));
        Daemon { _folder: folder, process, said }
    }

    fn command(folder: &tempfile::TempDir) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_easy-invite"));
        command.arg("--config").arg(folder.path().join("config.toml")).env_remove("EASY_INVITE_LOG");
        command.env("PROSODY_CONFIG", folder.path().join("none")).stdin(Stdio::null());
        command
    }

    fn cli(&self, arguments: &[&str]) -> Command {
        let mut command = Daemon::command(&self._folder);
        command.args(arguments);
        command
    }

    /// The lines with these words.
    fn said(&self, words: &str) -> Vec<String> {
        self.said.lock().unwrap().iter().filter(|line| line.contains(words)).cloned().collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_has_one_line_when_the_database_went_and_one_when_it_is_back() {
    let cluster = Cluster::start();
    let daemon = Daemon::start(&format!("{}/postgres", cluster.url()));
    let database = format!("the store postgres://postgres@127.0.0.1:{}/postgres ", cluster.port);
    until("it runs", async || {
        !daemon.said("is the component port").is_empty() || daemon.said.lock().unwrap().len() > 2
    })
    .await;
    until("it writes", async || {
        !query(&format!("{}/postgres", cluster.url()), "SELECT 1 FROM last_seen").await.is_empty()
    })
    .await;
    for round in 1..=2 {
        cluster.stop();
        until("it is told", async || daemon.said(&format!("WARN {database}")).len() == round).await;
        sleep(Duration::from_secs(6)).await;
        cluster.go();
        until("it is back", async || daemon.said(&format!("{database}is back after ")).len() == round).await;
        let lines = daemon.said.lock().unwrap().clone();
        let told = ["WARN", "INFO"].map(|level| daemon.said(&format!("{level} {database}")).len());
        assert_eq!(told, [round, round], "{lines:#?}");
        assert!(lines.iter().filter(|line| line.contains("could not be settled")).count() <= round, "{lines:#?}");
        assert_eq!(daemon.said("recycled").len() + daemon.said("onnection error").len(), 0, "{lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_and_check_and_the_log_say_that_a_standby_is_waited_for() {
    let pair = Pair::start();
    let daemon = Daemon::start(&pair.url(""));
    let check = || String::from_utf8(daemon.cli(&["check"]).output().unwrap().stdout).unwrap();
    until("the daemon runs", async || check().contains("serves example.org")).await;
    let said = check();
    assert!(said.contains("synchronous_standby_names is empty"), "{said}");
    let [one, two] = [pair.primary.port, pair.standby.port];
    let servers = [
        format!("server 127.0.0.1:{one}   ok     takes writes, timeline 1"),
        format!("server 127.0.0.1:{two}   ok     read-only, a standby perhaps, timeline 1"),
    ];
    assert!(servers.iter().all(|line| said.contains(line)), "{said}");
    hold_commits(&pair.primary).await;
    until("the log says so", async || daemon.said("is blocked: no synchronous standby").len() == 1).await;
    let making =
        daemon.cli(&["generate", "example.org"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let said = check();
    assert!(said.contains("WARN   is blocked: no synchronous standby"), "{said}");
    let failed = said.lines().find(|line| line.starts_with("store") && line.contains("FAILED")).unwrap_or_default();
    assert!(failed.contains("has not answered for 4 seconds: no synchronous standby"), "{said}");
    assert!(!said.contains("is empty"), "{said}");
    sleep(Duration::from_secs(3)).await;
    pair.primary.set(&["RESET synchronous_standby_names"]).await;
    let made = making.wait_with_output().unwrap();
    let (link, told) = (String::from_utf8(made.stdout).unwrap(), String::from_utf8(made.stderr).unwrap());
    assert!(made.status.success() && link.contains("example.org"), "{link} {told}");
    assert!(told.contains("is blocked: no synchronous standby"), "{told}");
    until("it is over", async || daemon.said("is back after ").len() == 1).await;
}

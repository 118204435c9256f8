//! Connections to nodes: TCP that notices when the other machine is gone, TLS, and the greeting. It knows no message.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use ledger::PublicKey;
use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{IpAddr, ServerName};

use super::VERSION;
use super::frame::{Purpose, greet, greeted};
use super::tls::{Identity, Wanted, shown};

/// How long the other machine may leave bytes without a sign that they arrived; then the connection ends.
const SILENCE: Duration = Duration::from_secs(5);

pub(super) type Connection = TlsStream<TcpStream>;

/// Makes connections as this node.
#[derive(Debug)]
pub(super) struct Connector {
    identity: Identity,
    /// The version that each node said it has.
    versions: Mutex<BTreeMap<PublicKey, String>>,
}

impl Connector {
    pub(super) fn new(identity: Identity) -> Self {
        Self { identity, versions: Mutex::default() }
    }

    /// Connects to the node with this key.
    pub(super) async fn node(
        &self,
        address: &str,
        key: PublicKey,
        purpose: Purpose,
    ) -> io::Result<Connection> {
        self.connect(address, Wanted::Node(key), purpose).await
    }

    /// Connects to whoever is there.
    pub(super) async fn anyone(&self, address: &str, purpose: Purpose) -> io::Result<Connection> {
        self.connect(address, Wanted::Anyone, purpose).await
    }

    /// The version that a node said it has, when there was a connection to it.
    pub(super) fn version(&self, key: PublicKey) -> Option<String> {
        self.versions.lock().get(&key).cloned()
    }

    async fn connect(
        &self,
        address: &str,
        wanted: Wanted,
        purpose: Purpose,
    ) -> io::Result<Connection> {
        let connector = self.identity.connector(wanted).map_err(io::Error::other)?;
        let socket = TcpStream::connect(address).await?;
        watch(&socket)?;
        // No name is sent or checked: the key is.
        let name = ServerName::IpAddress(IpAddr::from(socket.peer_addr()?.ip()));
        let mut connection = connector.connect(name, socket).await?;
        greet(&mut connection, purpose, VERSION).await?;
        let (_, version) = greeted(&mut connection).await?;
        if let Some(key) = shown(connection.get_ref().1.peer_certificates()) {
            self.versions.lock().insert(key, version);
        }
        Ok(connection)
    }
}

/// Lets a connection end when the other machine is gone, although nothing says so.
pub(super) fn watch(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    let probes = TcpKeepalive::new().with_time(SILENCE).with_interval(Duration::from_secs(1));
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(SILENCE))
}

//! What plain QUIC and WebTransport do differently: how a stream is opened, how a datagram is wrapped.

use crate::close_code;
use crate::link::{Kind, SendError};
use bytes::Bytes;

/// A connection of either kind.
#[derive(Debug)]
pub(crate) enum Connection {
    Quic(quinn::Connection),
    Web(wtransport::Connection),
}

/// An outgoing stream. The WebTransport one must stay wrapped while it lives.
pub(super) enum SendStream {
    Quic(quinn::SendStream),
    Web(wtransport::SendStream),
}

/// An incoming stream.
pub(super) enum RecvStream {
    Quic(quinn::RecvStream),
    Web(wtransport::RecvStream),
}

/// The connection is gone; [`Connection::read_datagram`] tells why.
#[derive(Debug)]
pub(super) struct Gone;

impl Connection {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Quic(_) => Kind::Quic,
            Self::Web(_) => Kind::WebTransport,
        }
    }

    pub(super) fn quic(&self) -> &quinn::Connection {
        match self {
            Self::Quic(connection) => connection,
            Self::Web(connection) => connection.quic_connection(),
        }
    }

    pub(super) fn max_datagram_size(&self) -> usize {
        match self {
            Self::Quic(connection) => connection.max_datagram_size().unwrap_or(0),
            Self::Web(connection) => connection.max_datagram_size().unwrap_or(0),
        }
    }

    pub(super) fn send_datagram(&self, datagram: Bytes) -> Result<(), SendError> {
        let too_long = SendError::TooLong {
            len: datagram.len(),
            max: self.max_datagram_size(),
        };
        match self {
            Self::Quic(connection) => connection.send_datagram(datagram).map_err(|error| match error {
                quinn::SendDatagramError::TooLarge => too_long,
                quinn::SendDatagramError::ConnectionLost(_) => SendError::Closed,
                quinn::SendDatagramError::UnsupportedByPeer | quinn::SendDatagramError::Disabled => {
                    SendError::Unsupported
                }
            }),
            Self::Web(connection) => connection.send_datagram(datagram).map_err(|error| match error {
                wtransport::error::SendDatagramError::TooLarge => too_long,
                wtransport::error::SendDatagramError::NotConnected => SendError::Closed,
                wtransport::error::SendDatagramError::UnsupportedByPeer => SendError::Unsupported,
            }),
        }
    }

    /// The next datagram, or why the connection ended.
    pub(super) async fn read_datagram(&self) -> Result<Bytes, (u32, String)> {
        match self {
            Self::Quic(connection) => connection.read_datagram().await.map_err(|error| super::end_of(&error)),
            Self::Web(connection) => match connection.receive_datagram().await {
                Ok(datagram) => Ok(datagram.payload()),
                Err(error) => Err(end_of_session(&error, connection.quic_connection())),
            },
        }
    }

    pub(super) async fn open_uni(&self) -> Result<SendStream, Gone> {
        match self {
            Self::Quic(connection) => connection.open_uni().await.map(SendStream::Quic).map_err(|_| Gone),
            Self::Web(connection) => {
                let opening = connection.open_uni().await.map_err(|_| Gone)?;
                opening.await.map(SendStream::Web).map_err(|_| Gone)
            }
        }
    }

    pub(super) async fn accept_uni(&self) -> Result<RecvStream, Gone> {
        match self {
            Self::Quic(connection) => connection.accept_uni().await.map(RecvStream::Quic).map_err(|_| Gone),
            Self::Web(connection) => connection.accept_uni().await.map(RecvStream::Web).map_err(|_| Gone),
        }
    }

    pub(super) async fn open_bi(&self) -> Result<(SendStream, RecvStream), Gone> {
        match self {
            Self::Quic(connection) => {
                let (send, receive) = connection.open_bi().await.map_err(|_| Gone)?;
                Ok((SendStream::Quic(send), RecvStream::Quic(receive)))
            }
            Self::Web(connection) => {
                let opening = connection.open_bi().await.map_err(|_| Gone)?;
                let (send, receive) = opening.await.map_err(|_| Gone)?;
                Ok((SendStream::Web(send), RecvStream::Web(receive)))
            }
        }
    }

    pub(super) async fn accept_bi(&self) -> Result<(SendStream, RecvStream), Gone> {
        match self {
            Self::Quic(connection) => {
                let (send, receive) = connection.accept_bi().await.map_err(|_| Gone)?;
                Ok((SendStream::Quic(send), RecvStream::Quic(receive)))
            }
            Self::Web(connection) => {
                let (send, receive) = connection.accept_bi().await.map_err(|_| Gone)?;
                Ok((SendStream::Web(send), RecvStream::Web(receive)))
            }
        }
    }
}

impl SendStream {
    pub(super) fn quic(&mut self) -> &mut quinn::SendStream {
        match self {
            Self::Quic(stream) => stream,
            Self::Web(stream) => stream.quic_stream_mut(),
        }
    }
}

impl RecvStream {
    pub(super) fn quic(&mut self) -> &mut quinn::RecvStream {
        match self {
            Self::Quic(stream) => stream,
            Self::Web(stream) => stream.quic_stream_mut(),
        }
    }
}

/// A browser closes the session, not the connection: its code and reason are in the session's error.
fn end_of_session(error: &wtransport::error::ConnectionError, quic: &quinn::Connection) -> (u32, String) {
    use wtransport::error::ConnectionError as Error;
    match error {
        Error::ApplicationClosed(close) => {
            let code = u32::try_from(close.code().into_inner()).unwrap_or(close_code::GONE);
            (code, String::from_utf8_lossy(close.reason()).into_owned())
        }
        Error::TimedOut => (close_code::TIMED_OUT, "nothing was heard from the peer".to_owned()),
        other => match quic.close_reason() {
            Some(reason @ quinn::ConnectionError::ApplicationClosed(_)) => super::end_of(&reason),
            _ => (close_code::LOST, other.to_string()),
        },
    }
}
